"""Denoising diffusion on points: sinusoidal time embedding, noise schedule by cumprod and gather, sampling loop; and normalising flow with coupling layers."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class TimeMLP(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.dim = dim
        self.net = nn.Sequential(
            nn.Linear(2 + dim, 32), nn.Mish(), nn.Linear(32, 32), nn.Hardswish(), nn.Linear(32, 2)
        )

    def forward(self, x, t):
        half = self.dim // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        args = t[:, None].float() * freqs[None]
        return self.net(torch.cat([x, torch.cat([args.cos(), args.sin()], dim=-1)], dim=-1))


def diffusion(T=20):
    betas = torch.linspace(1e-4, 0.2, T)
    alphas_bar = torch.cumprod(1 - betas, 0)
    model = TimeMLP()
    optimizer = torch.optim.RAdam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3)
    for step in range(6):
        angle = torch.rand(32) * 2 * math.pi
        x0 = torch.stack([angle.cos(), angle.sin()], 1)
        t = torch.randint(0, T, (32,))
        noise = torch.randn_like(x0)
        a = alphas_bar.gather(0, t).view(-1, 1)
        loss = F.mse_loss(model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()
    model.eval()
    with torch.no_grad():
        x = torch.randn(4, 2)
        for i in reversed(range(T)):
            z = torch.randn_like(x) if i > 0 else torch.zeros_like(x)
            eps = model(x, torch.full((4,), i))
            x = (x - betas[i] / (1 - alphas_bar[i]).sqrt() * eps) / (1 - betas[i]).sqrt() + betas[
                i
            ].sqrt() * z
    yield from x.flatten().tolist()


class Coupling(nn.Module):
    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Softplus(), nn.Linear(8, 2))

    def forward(self, x):
        a, b = x.flip(1).split(1, 1) if self.flip else x.split(1, 1)
        s, t = self.net(a).chunk(2, 1)
        s = torch.tanh(s)
        return torch.hstack([a, b * s.exp() + t]), s.sum(1)


def flow():
    layers = nn.ModuleList([Coupling(i % 2) for i in range(3)])
    optimizer = torch.optim.Adamax(layers.parameters(), lr=1e-2, weight_decay=1e-4)
    base = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(2), torch.ones(2)), 1
    )
    data = torch.randn(48, 2) @ torch.tensor([[1.0, 0.6], [0.0, 0.4]]) + 1
    for _ in range(5):
        z, log_det = data, torch.zeros(48)
        for layer in layers:
            z, d = layer(z)
            log_det = log_det + d
        loss = -(base.log_prob(z) + log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def main():
    torch.manual_seed(17)
    return [*diffusion(), *flow()]
