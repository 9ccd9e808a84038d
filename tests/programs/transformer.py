"""Sequence to sequence with nn.Transformer: masks, label smoothing, a schedule by LambdaLR; an encoder that classifies."""

import math

import torch
from torch import nn, optim


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=50):
        super().__init__()
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0), persistent=False)

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class Seq2Seq(nn.Module):
    def __init__(self, vocab=20, d_model=16):
        super().__init__()
        self.embed = nn.Embedding(vocab, d_model, padding_idx=0)
        self.position = PositionalEncoding(d_model)
        self.transformer = nn.Transformer(
            d_model,
            nhead=4,
            num_encoder_layers=2,
            num_decoder_layers=2,
            dim_feedforward=32,
            dropout=0.0,
            batch_first=True,
        )
        self.generator = nn.Linear(d_model, vocab)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, src, tgt):
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
        out = self.transformer(
            self.position(self.embed(src)),
            self.position(self.embed(tgt)),
            tgt_mask=mask,
            src_key_padding_mask=src == 0,
            memory_key_padding_mask=src == 0,
        )
        return self.generator(out)


def main():
    torch.manual_seed(0)
    model = Seq2Seq()
    criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    optimizer = optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    scheduler = optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 16**-0.5 * min((step + 1) ** -0.5, (step + 1) * 5**-1.5)
    )
    results = []
    for step in range(8):
        src = torch.randint(1, 20, (4, 7))
        src[:, 5:] = 0
        tgt = src.flip(1).clamp(min=1)
        logits = model(src, tgt[:, :-1])
        loss = criterion(logits.reshape(-1, 20), tgt[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        results += [loss.item(), scheduler.get_last_lr()[0]]

    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, activation="gelu", norm_first=True)
    encoder = nn.TransformerEncoder(
        layer, num_layers=2, norm=nn.LayerNorm(16), enable_nested_tensor=False
    )
    encoder.eval()
    x = torch.randn(5, 3, 16)
    with torch.no_grad():
        results += encoder(x).mean(dim=(0, 1)).tolist()
    attention = nn.MultiheadAttention(16, 4, bias=True, batch_first=False)
    out, weights = attention(x, x, x, need_weights=True, average_attn_weights=False)
    return results + [out.sum().item(), weights.std().item()]
