"""What training scripts use around the model: hooks, EMA, checkpointing, freezing, hyperparameter groups, buffers, copies, dtype settings."""

import copy
import io

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def build():
    return nn.Sequential(
        nn.Linear(6, 12),
        nn.ReLU(),
        nn.Sequential(nn.Linear(12, 12), nn.Tanh()),
        nn.Linear(12, 3, bias=False),
    )


def hooks():
    model, seen = build(), []
    handles = [
        model[0].register_forward_hook(lambda m, i, o: seen.append(o.mean().item())),
        model[3].register_full_backward_hook(
            lambda m, gi, go: seen.append(go[0].abs().sum().item())
        ),
        model[2].register_forward_pre_hook(lambda m, i: (i[0] * 2,)),
    ]
    model[3].weight.register_hook(lambda g: g * 0.5)
    model(torch.randn(4, 6)).pow(2).mean().backward()
    for h in handles:
        h.remove()
    model(torch.randn(4, 6))
    yield from seen
    yield model[3].weight.grad.norm().item()


class EMA:
    def __init__(self, model, decay):
        self.shadow = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model):
        for s, p in zip(self.shadow.parameters(), model.parameters()):
            s.mul_(self.decay).add_(p, alpha=1 - self.decay)
        for s, b in zip(self.shadow.buffers(), model.buffers()):
            s.copy_(b)


def training():
    model = build()
    model.add_module("norm", nn.BatchNorm1d(3))
    ema = EMA(model, 0.9)
    for p in model[0].parameters():
        p.requires_grad = False
    optimizer = torch.optim.Adam(
        [
            {"params": model[2].parameters(), "lr": 1e-3},
            {"params": [*model[3].parameters(), *model.norm.parameters()]},
        ],
        lr=1e-2,
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    for step in range(6):
        with torch.autocast("cpu", enabled=False):
            out = checkpoint(model, x, use_reentrant=False)
            loss = nn.functional.cross_entropy(out, y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        ema.update(model)
        warm.step()
        plateau.step(loss.item())
        yield from (loss.item(), *(g["lr"] for g in optimizer.param_groups))
    yield ema.shadow(x).sum().item()
    yield float(model[0].weight.grad is None)
    buffer = io.BytesIO()
    torch.save(
        {
            "model": model.state_dict(),
            "optim": optimizer.state_dict(),
            "config": {"lr": 1e-2, "name": "x"},
        },
        buffer,
    )
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    other = build()
    other.add_module("norm", nn.BatchNorm1d(3))
    missing, unexpected = other.load_state_dict(state["model"], strict=False)
    yield from (len(missing), len(unexpected), other.eval()(x).sum().item())
    yield sum(v.double().sum().item() for v in state["model"].values())
    try:
        other.load_state_dict({"0.weight": torch.zeros(2, 2)})
    except RuntimeError as error:
        yield str(error).count("size mismatch") + str(error).count("Missing key(s)")


def settings():
    torch.set_default_dtype(torch.float64)
    try:
        layer = nn.Linear(3, 2)
        yield layer(torch.ones(1, 3)).sum().item()
        yield float(layer.weight.dtype == torch.float64)
    finally:
        torch.set_default_dtype(torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield torch.get_num_threads()
    torch.set_num_threads(threads)
    compiled = torch.compile(lambda v: v.sin() + 1, backend="eager")
    yield compiled(torch.tensor(0.5)).item()
    yield from (
        torch.LongTensor([3, 1]).sum().item(),
        torch.FloatTensor(2, 3).numel(),
        len(torch.zeros(2).type()) > 0,
    )
    yield float(isinstance(torch.ones(2), torch.FloatTensor))
    yield float(torch.distributed.is_initialized())
    try:
        torch.zeros(2).numpy()
        torch.ones(2, requires_grad=True).numpy()
    except RuntimeError:
        yield 1
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield torch.rand(1).item()
    state = torch.get_rng_state()
    a = torch.randn(3)
    torch.set_rng_state(state)
    yield float(torch.equal(a, torch.randn(3)))
    assert torch.autograd.gradcheck(
        lambda v: v.tanh().sum(), torch.randn(3, dtype=torch.double, requires_grad=True)
    )


def main():
    torch.manual_seed(31)
    return [*hooks(), *training(), *settings()]
