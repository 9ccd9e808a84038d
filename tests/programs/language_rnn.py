"""A word language model with LSTM and GRU: packed sequences, truncated backpropagation, tied weights, RMSprop."""

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class RNNModel(nn.Module):
    def __init__(self, kind, ntoken=30, ninp=12, nhid=12, nlayers=2):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = getattr(nn, kind)(ninp, nhid, nlayers, batch_first=True)
        self.decoder = nn.Linear(nhid, ntoken)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden=None):
        output, hidden = self.rnn(self.encoder(input), hidden)
        return self.decoder(output), hidden


def repackage_hidden(h):
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def main():
    results = []
    for kind in ("LSTM", "GRU", "RNN"):
        torch.manual_seed(7)
        model = RNNModel(kind)
        optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2, momentum=0.5)
        criterion = nn.CrossEntropyLoss()
        corpus = torch.randint(0, 30, (4, 41))
        hidden = None
        for i in range(0, 40, 8):
            hidden = None if hidden is None else repackage_hidden(hidden)
            output, hidden = model(corpus[:, i : i + 8], hidden)
            loss = criterion(output.flatten(0, 1), corpus[:, i + 1 : i + 9].flatten())
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            results.append(loss.item())

    torch.manual_seed(3)
    sequences = [torch.randn(n, 5) for n in (4, 6, 2)]
    lengths = torch.tensor([len(s) for s in sequences])
    padded = pad_sequence(sequences, batch_first=True)
    packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    lstm = nn.LSTM(5, 4, bidirectional=True, batch_first=True)
    out, (h, c) = lstm(packed)
    unpacked, sizes = pad_packed_sequence(out, batch_first=True)
    (unpacked.sum() + h.pow(2).sum() + c.sum()).backward()
    cell = nn.LSTMCell(5, 4)
    hx = cx = torch.zeros(2, 4)
    for t in range(3):
        hx, cx = cell(torch.randn(2, 5), (hx, cx))
    return (
        results
        + sizes.tolist()
        + [unpacked.sum().item(), lstm.weight_ih_l0.grad.norm().item(), cx.sum().item()]
    )
