"""Gradients of gradients: WGAN-GP, MAML with functional_call, Hessian products, physics-informed loss, custom Function, L-BFGS."""

import torch
import torch.nn as nn
from torch.autograd import Function, grad
from torch.func import functional_call


def wgan_gp():
    critic = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.LayerNorm(16), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    for _ in range(4):
        real, fake = torch.randn(6, 4), torch.randn(6, 4) + 1
        alpha = torch.rand(6, 1)
        mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        out = critic(mixed)
        gradients = grad(
            out, mixed, grad_outputs=torch.ones_like(out), create_graph=True, retain_graph=True
        )[0]
        penalty = ((gradients.norm(2, dim=1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield from (loss.item(), penalty.item())


def maml():
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        total = 0.0
        for task in range(2):
            a, b = torch.rand(1) * 4 + 0.1, torch.rand(1) * 3
            x = torch.rand(5, 1) * 10 - 5
            y = a * torch.sin(x + b)
            fast = dict(model.named_parameters())
            for _ in range(2):
                inner = ((functional_call(model, fast, (x,)) - y) ** 2).mean()
                grads = torch.autograd.grad(inner, tuple(fast.values()), create_graph=True)
                fast = {name: w - 0.1 * g for (name, w), g in zip(fast.items(), grads)}
            total = total + ((functional_call(model, fast, (x + 0.1,)) - y) ** 2).mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        yield total.item()


class LegendrePolynomial3(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class StraightThrough(Function):
    @staticmethod
    def forward(x, threshold):
        return (x > threshold).float()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.threshold = inputs[1]
        ctx.mark_non_differentiable()

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-1, 1), None


def custom_function():
    a, b, c, d = (torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3))
    x = torch.linspace(-3, 3, 200)
    y = torch.sin(x)
    for t in range(4):
        y_pred = a + b * LegendrePolynomial3.apply(c + d * x)
        loss = (y_pred - y).pow(2).sum()
        loss.backward()
        with torch.no_grad():
            for p in (a, b, c, d):
                p -= 5e-6 * p.grad
                p.grad = None
        yield loss.item()
    w = torch.randn(5, requires_grad=True)
    StraightThrough.apply(w, 0.1).mul(torch.arange(5.0) - 2).sum().backward()
    yield from w.grad.tolist()


def physics():
    net = nn.Sequential(nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 1))
    optimizer = torch.optim.LBFGS(
        net.parameters(), lr=0.5, max_iter=4, line_search_fn="strong_wolfe"
    )
    t = torch.linspace(0, 1, 15).view(-1, 1).requires_grad_()
    for _ in range(2):

        def closure():
            optimizer.zero_grad()
            u = net(t)
            du = grad(u.sum(), t, create_graph=True)[0]
            ddu = grad(du.sum(), t, create_graph=True)[0]
            loss = (ddu + u).pow(2).mean() + (u[0] - 1).pow(2).sum() + du[0].pow(2).sum()
            loss.backward()
            return loss

        yield optimizer.step(closure).item()


def hessians():
    f = lambda x: (x**3).sum() + x.prod()  # noqa: E731
    x = torch.tensor([1.0, 2.0, 3.0])
    yield from torch.autograd.functional.hessian(f, x).flatten().tolist()
    yield from torch.autograd.functional.jacobian(lambda v: v.exp() * v.sum(), x).flatten().tolist()
    yield from torch.autograd.functional.vhp(f, x, torch.ones(3))[1].tolist()


def main():
    torch.manual_seed(8)
    return [*wgan_gp(), *maml(), *custom_function(), *physics(), *hessians()]
