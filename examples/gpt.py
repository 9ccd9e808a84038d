"""A character-level GPT in the plain PyTorch style: trains on a text file, then writes.

    python examples/gpt.py [--text FILE] [--steps 1000] [--out gpt.safetensors]

Without --text it learns the Macbeth excerpt that ships with dlgrad. The model is GPT-2's (Radford et
al., 2019): token and position embeddings, blocks of causal self-attention and an MLP, each behind a
LayerNorm and around a residual.
"""

import argparse
import math
import time
from pathlib import Path

import dlgrad
import dlgrad.nn.functional as F
from dlgrad import nn
from dlgrad.datasets import shakespeare


class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        B, T, C = x.shape
        # (B, T, 3 C) -> three of (B, heads, T, C / heads)
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.attn = CausalSelfAttention(width, heads, dropout)
        self.ln2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, context, width, heads, layers, dropout):
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(self._init)

    @staticmethod
    def _init(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, index, targets=None):
        B, T = index.shape
        x = self.tokens(index) + self.positions(dlgrad.arange(T))
        logits = self.head(self.ln(self.blocks(x)))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(B * T, -1), targets.reshape(-1))

    @dlgrad.no_grad()
    def generate(self, index, count, temperature=1.0, top_k=None):
        """Appends `count` characters to index (B, T)."""
        self.eval()
        for _ in range(count):
            logits, _ = self(index[:, -self.context :])
            logits = logits[:, -1] / temperature
            if top_k is not None:
                least = logits.topk(min(top_k, logits.shape[-1]))[0][:, -1:]
                logits = logits.masked_fill(logits < least, -math.inf)
            chosen = dlgrad.multinomial(F.softmax(logits, dim=-1), 1)
            index = dlgrad.cat([index, chosen], dim=1)
        return index


def batch_of(data, context, size):
    """`size` random pieces of the text, and the same moved on by one character."""
    starts = dlgrad.randint(len(data) - context, (size,)).tolist()
    x = dlgrad.stack([data[i : i + context] for i in starts])
    y = dlgrad.stack([data[i + 1 : i + 1 + context] for i in starts])
    return x, y


@dlgrad.no_grad()
def estimate(model, data, context, size, batches=10):
    model.eval()
    losses = [model(*batch_of(data, context, size))[1].item() for _ in range(batches)]
    model.train()
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", metavar="FILE", help="what to learn (default: Macbeth)")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--sample", type=int, default=400, help="characters to write at the end")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--out", metavar="FILE", help="write the weights there")
    options = parser.parse_args()
    dlgrad.manual_seed(options.seed)

    text = Path(options.text).read_text(encoding="utf-8") if options.text else shakespeare()
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    data = dlgrad.tensor([number[letter] for letter in text], dtype=dlgrad.int64)
    cut = int(0.9 * len(data))
    train, held_out = data[:cut], data[cut:]
    if len(held_out) <= options.context:
        parser.error(
            f"the text has {len(text)} characters: too few for --context {options.context}"
        )

    model = GPT(
        len(letters), options.context, options.width, options.heads, options.layers, options.dropout
    )
    count = sum(p.numel() for p in model.parameters())
    print(f"{len(text):,} characters, {len(letters)} different; {count:,} parameters")

    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = dlgrad.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=options.lr,
        betas=(0.9, 0.99),
    )
    warm_up = min(100, options.steps // 10)

    def factor(step):
        if step < warm_up:
            return (step + 1) / warm_up
        progress = (step - warm_up) / max(1, options.steps - warm_up)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))

    scheduler = dlgrad.optim.lr_scheduler.LambdaLR(optimizer, factor)
    started = time.perf_counter()
    for step in range(1, options.steps + 1):
        _, loss = model(*batch_of(train, options.context, options.batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % 100 == 0 or step == options.steps:
            validation = estimate(model, held_out, options.context, options.batch)
            speed = (time.perf_counter() - started) / step
            print(
                f"step {step:5}  train {loss.item():.3f}  held out {validation:.3f}  "
                f"{1000 * speed:.0f} ms a step",
                flush=True,
            )
    if options.out:
        dlgrad.save(model.state_dict(), options.out)
        print(f"weights in {options.out}")
    if options.sample:
        start = dlgrad.tensor([[number.get("\n", 0)]])
        written = model.generate(start, options.sample, options.temperature, top_k=20)
        print("".join(letters[i] for i in written[0].tolist()))


if __name__ == "__main__":
    main()
