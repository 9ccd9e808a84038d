"""A convolutional network on handwritten digits, with evaluation mode and a checkpoint.

python examples/cnn.py [--epochs 12] [--seed 0] [--save digits.safetensors]
"""

import argparse

import dlgrad
import dlgrad.nn.functional as F
from dlgrad import nn, optim
from dlgrad.datasets import digits
from dlgrad.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)  # (N, 16, 4, 4)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)  # (N, 32, 2, 2)
        return F.log_softmax(self.fc(self.dropout(x.flatten(1))), dim=1)


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def accuracy(model, loader):
    model.eval()
    right = 0
    with dlgrad.no_grad():
        for x, y in loader:
            right += (model(x).argmax(dim=1) == y).sum().item()
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="write the weights there")
    options = parser.parse_args()
    dlgrad.manual_seed(options.seed)

    images, labels = digits()
    data = TensorDataset(images.float().unsqueeze(1) / 16, labels.long())
    train, test = random_split(data, [0.8, 0.2])
    train_loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
    test_loader = DataLoader(test, batch_size=200)

    model = Net()
    print(model)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.3)
    for epoch in range(options.epochs):
        loss = train_epoch(model, train_loader, optimizer)
        scheduler.step()
        print(f"epoch {epoch + 1:2}  loss {loss:.4f}  test {accuracy(model, test_loader):.1%}")
    if options.save:
        dlgrad.save(model.state_dict(), options.save)
        print(f"weights in {options.save}")
    print(f"test accuracy: {accuracy(model, test_loader):.1%}")


if __name__ == "__main__":
    main()
