"""Mistakes that type checkers find: each line with `# error` must be reported, no other (tests/test_stubs.py)."""

from __future__ import annotations

import dlgrad
import dlgrad.nn.functional as F
from dlgrad import Tensor, nn, optim
from dlgrad.utils.data import DataLoader, TensorDataset

x = dlgrad.ones(2, 3)
model = nn.Linear(3, 2)

dlgrad.tanh("x")  # error
x.tanhh()  # error
x.sum(dim="rows")  # error
x.reshape("flat")  # error
dlgrad.zeros(2, 3, dtype="float32")  # error
values, indices, counts = x.max(dim=1)  # error
pair: Tensor = x.max(dim=1)  # error
pieces: Tensor = dlgrad.split(x, 1)  # error
x.size(0).tanh()  # error
nn.Linear("3", 2)  # error
nn.Linear(3)  # error
nn.Conv2d(3, 4)  # error
model("x")  # error
F.relu(1.5)  # error
F.mse_loss(x)  # error
nn.LSTM(3, 2)(x).sum()  # error
optim.SGD()  # error
optim.SGD(model.parameters(), learning_rate=0.1)  # error
optim.Adam(model.parameters(), betas=0.9)  # error
model.weight.backward(retain_graph="yes")  # error
x.grad.sum()  # error
DataLoader(TensorDataset(x), batch_size="16")  # error
x["row"]  # error
dlgrad.linalg.svd(x).V  # error
dlgrad.nosuchname  # error
x.uniform_(0, 1).nosuchmethod()  # error
