"""A multi-layer perceptron on handwritten digits: the whole training loop on one page.

python examples/mlp.py [--epochs 20] [--seed 0]
"""

import argparse

import dlgrad
from dlgrad import nn
from dlgrad.datasets import digits
from dlgrad.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
dlgrad.manual_seed(options.seed)

images, labels = digits()  # uint8 (1797, 8, 8) of 0 to 16, and (1797)
data = TensorDataset(images.float().flatten(1) / 16, labels.long())
train, test = random_split(data, [0.8, 0.2])

model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = dlgrad.optim.Adam(model.parameters(), lr=3e-3)
loss_function = nn.CrossEntropyLoss()

for epoch in range(options.epochs):
    total = 0.0
    for x, y in DataLoader(train, batch_size=32, shuffle=True):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    print(f"epoch {epoch + 1:2}  loss {total / len(train):.4f}")

with dlgrad.no_grad():
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, batch_size=100))
print(f"test accuracy: {right / len(test):.1%}")
