"""The optimizers and schedules that the tests run, as functions of the library: dlgrad.optim, or
torch.optim in the tests against PyTorch."""

import math

from arrays import tensor

SHAPES = ((3,), (17, 5), (33,), (4, 3, 2), ())


def leaf(values, dtype):
    """A parameter with an array's values."""
    return tensor(values, dtype).requires_grad_()


def rosenbrock(p):
    """(1 - x)^2 + 100 (y - x^2)^2: a curved valley with its floor at (1, 1)."""
    x, y = p.unbind(0)
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


VARIANTS = {
    "sgd": lambda o, p: o.SGD(p, lr=0.1),
    "sgd momentum": lambda o, p: o.SGD(
        p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01, maximize=True
    ),
    "sgd nesterov": lambda o, p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda o, p: o.Adam(p, lr=0.01),
    "adam amsgrad": lambda o, p: o.Adam(
        p, lr=0.01, betas=(0.3, 0.9), weight_decay=0.1, amsgrad=True
    ),
    "adamw": lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.1, maximize=True),
    "rmsprop": lambda o, p: o.RMSprop(p, lr=0.01, weight_decay=0.1),
    "rmsprop centered": lambda o, p: o.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda o, p: o.Adagrad(
        p, lr=0.1, lr_decay=0.1, weight_decay=0.01, initial_accumulator_value=0.1
    ),
    "adadelta": lambda o, p: o.Adadelta(p, weight_decay=0.01),
    "adamax": lambda o, p: o.Adamax(p, lr=0.1, weight_decay=0.01),
    "nadam": lambda o, p: o.NAdam(p, lr=0.1, weight_decay=0.01),
    "nadam decoupled": lambda o, p: o.NAdam(
        p, weight_decay=0.1, decoupled_weight_decay=True, maximize=True
    ),
    "radam": lambda o, p: o.RAdam(p, lr=0.1, weight_decay=0.01),
    "radam decoupled": lambda o, p: o.RAdam(p, weight_decay=0.1, decoupled_weight_decay=True),
    "asgd": lambda o, p: o.ASGD(p, lr=0.1, t0=2, weight_decay=0.01),
    "rprop": lambda o, p: o.Rprop(p, lr=0.1),
    "adafactor": lambda o, p: o.Adafactor(p, weight_decay=0.1),
    "adafactor maximize": lambda o, p: o.Adafactor(
        p, lr=0.1, eps=(1e-6, 1e-2), beta2_decay=-0.6, d=1.5, maximize=True
    ),
}


def three(o, module, factor):
    return [
        module.LinearLR(o, start_factor=0.1, total_iters=4),
        module.ExponentialLR(o, gamma=factor),
        module.ConstantLR(o, factor=0.5, total_iters=3),
    ]


SCHEDULES = {
    "lambda": lambda m, o: m.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.95),
    "step": lambda m, o: m.StepLR(o, 3, gamma=0.3),
    "multistep": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "constant": lambda m, o: m.ConstantLR(o, factor=0.3, total_iters=4),
    "linear": lambda m, o: m.LinearLR(o, start_factor=0.3, end_factor=0.7, total_iters=7),
    "exponential": lambda m, o: m.ExponentialLR(o, gamma=0.9),
    "polynomial": lambda m, o: m.PolynomialLR(o, total_iters=9, power=1.7),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, T_max=6, eta_min=0.001),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.001),
    "restarts 1": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=4),
    "cycle": lambda m, o: m.CyclicLR(o, [0.01, 0.02], 0.1, step_size_up=4, step_size_down=3),
    "cycle 2": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=3, mode="triangular2"),
    "cycle exp": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, step_size_up=3, mode="exp_range", gamma=0.97
    ),
    "cycle own": lambda m, o: m.CyclicLR(
        o,
        0.01,
        0.1,
        3,
        scale_fn=lambda x: math.sin(x),
        scale_mode="iterations",
        cycle_momentum=False,
    ),
    "one cycle": lambda m, o: m.OneCycleLR(o, max_lr=[0.1, 0.3], total_steps=20),
    "one cycle 3": lambda m, o: m.OneCycleLR(
        o, 0.1, epochs=4, steps_per_epoch=5, three_phase=True, anneal_strategy="linear"
    ),
    "sequential": lambda m, o: m.SequentialLR(o, three(o, m, 0.9), milestones=[4, 9]),
    "chained": lambda m, o: m.ChainedScheduler(three(o, m, 0.8)),
    "sequential of two": lambda m, o: m.SequentialLR(
        o, [m.CosineAnnealingLR(o, 5), m.StepLR(o, 2)], milestones=[5]
    ),
}
