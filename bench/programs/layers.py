"""Layers of nn: norms, attention, recurrent layers, embeddings, dropout."""

from . import program, training_call

GROUP = "layers"


def layer(name, make, shape, index=None):
    """Two programs: forward without gradients, and forward with backward.

    `make(nn)` gives the module, `shape` that of its random input; `index` a number of rows for
    integer input instead.
    """

    def setting(torch, gradient):
        module = make(torch.nn)
        if index is None:
            x = torch.randn(*shape, requires_grad=gradient)
        else:
            x = torch.randint(0, index, shape)
        sources = list(module.parameters()) + ([x] if index is None else [])

        def forward():
            y = module(x)
            return y[0] if isinstance(y, tuple) else y

        return forward, sources

    @program(name, GROUP)
    def only_forward(torch):
        forward, _ = setting(torch, False)

        def run():
            with torch.no_grad():
                return forward()

        return run

    @program(f"{name}, forward and backward", GROUP)
    def both(torch):
        forward, sources = setting(torch, True)
        return training_call(torch, forward, *sources)


layer("LayerNorm 2048x128", lambda nn: nn.LayerNorm(128), (2048, 128))
layer("LayerNorm 128x768", lambda nn: nn.LayerNorm(768), (128, 768))
layer("LayerNorm 8x64", lambda nn: nn.LayerNorm(64), (8, 64))
layer("LayerNorm 10000x10", lambda nn: nn.LayerNorm(10), (10000, 10))
layer("RMSNorm 10000x10", lambda nn: nn.RMSNorm(10), (10000, 10))
layer("RMSNorm 2048x128", lambda nn: nn.RMSNorm(128), (2048, 128))
layer("BatchNorm2d 16x64x32x32", lambda nn: nn.BatchNorm2d(64), (16, 64, 32, 32))
layer("BatchNorm2d 16x512x4x4", lambda nn: nn.BatchNorm2d(512), (16, 512, 4, 4))
layer("BatchNorm1d 128x256", lambda nn: nn.BatchNorm1d(256), (128, 256))
layer("GroupNorm 16x64x32x32, 8 groups", lambda nn: nn.GroupNorm(8, 64), (16, 64, 32, 32))
layer("GroupNorm 16x512x4x4, 32 groups", lambda nn: nn.GroupNorm(32, 512), (16, 512, 4, 4))
layer("Dropout 1 M", lambda nn: nn.Dropout(0.1), (1000, 1000))
layer("PReLU 16x64x32x32", lambda nn: nn.PReLU(64), (16, 64, 32, 32))
layer("Embedding 65x128, 16x128 ids", lambda nn: nn.Embedding(65, 128), (16, 128), 65)
layer("Embedding 50257x768, 128 ids", lambda nn: nn.Embedding(50257, 768), (1, 128), 50257)
layer("RNN 128-256, 35x16", lambda nn: nn.RNN(128, 256), (35, 16, 128))
layer("GRU 128-256, 35x16", lambda nn: nn.GRU(128, 256), (35, 16, 128))
layer("LSTM 128-256, 35x16", lambda nn: nn.LSTM(128, 256), (35, 16, 128))
layer("LSTM 128-256, 2 layers both ways", lambda nn: nn.LSTM(128, 256, 2, bidirectional=True),
      (35, 16, 128))  # fmt: skip
layer("GRU 64-64, 1 step of 1 row", lambda nn: nn.GRU(64, 64), (1, 1, 64))
layer("LSTMCell 64-64, 1 row", lambda nn: nn.LSTMCell(64, 64), (1, 64))
layer("TransformerEncoderLayer 128, 16x128",
      lambda nn: nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True),
      (16, 128, 128))  # fmt: skip


def attention(name, query, key, causal=False, mask=None, backward=True):
    """scaled_dot_product_attention of (batch, heads, length, width) shapes."""
    flops = 4.0 * query[0] * query[1] * query[2] * key[2] * query[3] * (0.5 if causal else 1)

    def make(torch, gradient):
        q = torch.randn(*query, requires_grad=gradient)
        k, v = (torch.randn(*key, requires_grad=gradient) for _ in range(2))
        attn_mask = None if mask is None else mask(torch, query[2], key[2])
        call = torch.nn.functional.scaled_dot_product_attention
        return (lambda: call(q, k, v, attn_mask=attn_mask, is_causal=causal)), (q, k, v)

    @program(f"attention {name}", GROUP, flops=flops)
    def forward(torch):
        return make(torch, False)[0]

    if backward:

        @program(f"attention {name}, forward and backward", GROUP, flops=3.5 * flops)
        def both(torch):
            call, sources = make(torch, True)
            return training_call(torch, call, *sources)


attention("16x4x128x32, causal", (16, 4, 128, 32), (16, 4, 128, 32), True)
attention("1x12x128x64, causal", (1, 12, 128, 64), (1, 12, 128, 64), True)
attention("1x12x1024x64, causal", (1, 12, 1024, 64), (1, 12, 1024, 64), True)
attention("8x8x256x64", (8, 8, 256, 64), (8, 8, 256, 64))
attention("8x8x256x64, boolean mask", (8, 8, 256, 64), (8, 8, 256, 64),
          mask=lambda torch, t, s: torch.ones(t, s, dtype=torch.bool).tril())  # fmt: skip
attention("8x8x256x64, added mask", (8, 8, 256, 64), (8, 8, 256, 64),
          mask=lambda torch, t, s: torch.randn(t, s))  # fmt: skip
attention("1x12x1x64 over 1024", (1, 12, 1, 64), (1, 12, 1024, 64), backward=False)
attention("1x12x1x64 over 4096", (1, 12, 1, 64), (1, 12, 4096, 64), backward=False)


@program("MultiheadAttention 128, 16x128, forward and backward", GROUP)
def multihead(torch):
    module = torch.nn.MultiheadAttention(128, 4, batch_first=True)
    x = torch.randn(16, 128, 128, requires_grad=True)

    def forward():
        return module(x, x, x, need_weights=False)[0]

    return training_call(torch, forward, x, *module.parameters())
