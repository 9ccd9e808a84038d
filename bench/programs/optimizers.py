"""One optimizer step over all parameters, gradients given."""

from . import program

GROUP = "optimizers"


def resnet_shapes():
    """ResNet-18's 62 parameters: 11 M numbers."""
    shapes = [(64, 3, 3, 3), (64,), (64,), (10, 512), (10,)]
    for inputs, outputs in ((64, 64), (64, 128), (128, 256), (256, 512)):
        shapes += [(outputs, inputs, 3, 3)] + 3 * [(outputs, outputs, 3, 3)] + 8 * [(outputs,)]
        if inputs != outputs:
            shapes += [(outputs, inputs, 1, 1), (outputs,), (outputs,)]
    return shapes


def gpt_shapes():
    """The parameters of the GPT of 6 layers of 128: 1.2 M numbers in 75 tensors."""
    block = [(128,), (128,), (384, 128), (384,), (128, 128), (128,), (128,), (128,),
             (512, 128), (512,), (128, 512), (128,)]  # fmt: skip
    return [(65, 128), (128, 128), *(6 * block), (128,), (128,), (65, 128)]


SETS = {
    "GPT's 77 tensors": (gpt_shapes, ()),
    "ResNet-18's 62 tensors": (resnet_shapes, ("large",)),
    "10 small tensors": (lambda: [(16, 16)] * 10, ()),
}


def parameters_of(torch, shapes):
    parameters = [torch.randn(*shape, requires_grad=True) for shape in shapes]
    for p in parameters:
        p.grad = torch.randn(*p.shape)
    return parameters


def optimizer(name, kind, which, **options):
    shapes, tags = SETS[which]

    @program(f"{name}, {which}", GROUP, tags=tags)
    def setup(torch):
        return getattr(torch.optim, kind)(parameters_of(torch, shapes()), **options).step


for _which in SETS:
    optimizer("SGD", "SGD", _which, lr=1e-3)
    optimizer("SGD momentum", "SGD", _which, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    optimizer("Adam", "Adam", _which, lr=1e-3)
    optimizer("AdamW", "AdamW", _which, lr=1e-3)
for _kind in ("RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"):
    optimizer(_kind, _kind, "GPT's 77 tensors", lr=1e-3)

for _which, (_shapes, _tags) in SETS.items():

    @program(f"clip_grad_norm_, {_which}", GROUP, tags=_tags)
    def clip(torch, shapes=_shapes):
        parameters = parameters_of(torch, shapes())
        return lambda: torch.nn.utils.clip_grad_norm_(parameters, 1.0)
