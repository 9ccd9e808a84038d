"""A variational autoencoder on a DataLoader."""

import torch
import torch.utils.data
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def main():
    torch.manual_seed(1)
    use_accel = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if use_accel else torch.device("cpu")
    data = torch.utils.data.TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64))
    kwargs = {"num_workers": 1, "pin_memory": True} if use_accel else {}
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, **kwargs)
    model = VAE().to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    results = []
    for epoch in range(3):
        model.train()
        for batch_idx, (data, labels) in enumerate(loader):
            data = data.to(device)
            optimizer.zero_grad()
            loss = loss_function(*(lambda r, m, v: (r, data, m, v))(*model(data)))
            loss.backward()
            optimizer.step()
            results += [loss.item(), labels[0].item()]
    model.eval()
    with torch.no_grad():
        sample = model.decode(torch.randn(2, 4).to(device)).cpu()
    return results + sample.view(2, 1, 8, 8).numpy().sum(axis=(1, 2, 3)).tolist()
