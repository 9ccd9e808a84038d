"""Convolutions and pooling, forward and with both backward passes."""

from . import program, training_call

GROUP = "convolutions"


def convolution(name, image, out, kernel, function="conv2d", dtype="float32", **options):
    """Two programs: forward, and forward with backward (input, weight and bias)."""
    spatial = (kernel,) * (len(image) - 2) if isinstance(kernel, int) else kernel
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    groups, dilation = options.get("groups", 1), options.get("dilation", 1)
    transposed = "transpose" in function
    macs = float(image[0]) * out * (image[1] // groups)
    for n, k in zip(image[2:], spatial):
        positions = n if transposed else (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        macs *= positions * k

    def make(torch, gradient):
        channels = (image[1], out // groups) if transposed else (out, image[1] // groups)
        kind = getattr(torch, dtype)
        x = torch.randn(*image).to(kind).requires_grad_(gradient)
        w = (torch.randn(*channels, *spatial) * 0.1).to(kind).requires_grad_(gradient)
        b = torch.zeros(out, dtype=kind, requires_grad=gradient)
        call = getattr(torch.nn.functional, function)
        return (lambda: call(x, w, b, **options)), (x, w, b)

    @program(name, GROUP, flops=2 * macs)
    def forward(torch):
        return make(torch, False)[0]

    @program(f"{name}, forward and backward", GROUP, flops=6 * macs)
    def both(torch):
        call, sources = make(torch, True)
        return training_call(torch, call, *sources)


convolution("conv2d 16x64x32x32, 3x3", (16, 64, 32, 32), 64, 3, padding=1)
convolution("conv2d 16x3x32x32 to 64, 3x3", (16, 3, 32, 32), 64, 3, padding=1)
convolution("conv2d 16x64x32x32 to 128, 3x3 stride 2", (16, 64, 32, 32), 128, 3, padding=1,
            stride=2)  # fmt: skip
convolution("conv2d 16x128x16x16, 3x3", (16, 128, 16, 16), 128, 3, padding=1)
convolution("conv2d 16x256x8x8, 3x3", (16, 256, 8, 8), 256, 3, padding=1)
convolution("conv2d 16x512x4x4, 3x3", (16, 512, 4, 4), 512, 3, padding=1)
convolution("conv2d 16x64x32x32 to 128, 1x1 stride 2", (16, 64, 32, 32), 128, 1, stride=2)
convolution("conv2d 16x256x14x14, 1x1", (16, 256, 14, 14), 256, 1)
convolution("conv2d 1x3x224x224 to 64, 7x7 stride 2", (1, 3, 224, 224), 64, 7, padding=3, stride=2)
convolution("conv2d 1x64x56x56, 3x3", (1, 64, 56, 56), 64, 3, padding=1)
convolution("conv2d 64x1x28x28 to 6, 5x5", (64, 1, 28, 28), 6, 5, padding=2)
convolution("conv2d 64x6x14x14 to 16, 5x5", (64, 6, 14, 14), 16, 5)
convolution("conv2d 16x64x32x32, 3x3 dilation 2", (16, 64, 32, 32), 64, 3, padding=2, dilation=2)
convolution("conv2d 16x96x28x28, 3x3 depthwise", (16, 96, 28, 28), 96, 3, padding=1, groups=96)
convolution("conv2d 16x96x28x28, 5x5 depthwise", (16, 96, 28, 28), 96, 5, padding=2, groups=96)
convolution("conv2d 16x128x14x14, 3x3 in 32 groups", (16, 128, 14, 14), 128, 3, padding=1,
            groups=32)  # fmt: skip
convolution("conv2d 16x96x28x28, 3x3 depthwise stride 2", (16, 96, 28, 28), 96, 3, padding=1,
            stride=2, groups=96)  # fmt: skip
convolution("conv2d 8x192x7x7, 7x7 depthwise", (8, 192, 7, 7), 192, 7, padding=3, groups=192)
convolution("conv2d 8x64x28x28, 3x3 in 4 groups", (8, 64, 28, 28), 64, 3, padding=1, groups=4)
convolution("conv2d 8x32x28x28, 5x5", (8, 32, 28, 28), 32, 5, padding=2)
convolution("conv2d 2x3x224x224 to 192, 16x16 stride 16", (2, 3, 224, 224), 192, 16, stride=16)
convolution("conv2d 16x256x14x14, 1x1, bfloat16", (16, 256, 14, 14), 256, 1, dtype="bfloat16")
convolution("conv2d 8x32x28x28, 5x5, bfloat16", (8, 32, 28, 28), 32, 5, padding=2, dtype="bfloat16")
convolution("conv2d 4x3x112x112 to 64, 7x7 stride 2, bfloat16", (4, 3, 112, 112), 64, 7, padding=3,
            stride=2, dtype="bfloat16")  # fmt: skip
convolution("conv2d 1x512x4x4, 3x3", (1, 512, 4, 4), 512, 3, padding=1)
convolution("conv2d 1x256x8x8 to 512, 3x3 stride 2", (1, 256, 8, 8), 512, 3, padding=1, stride=2)
convolution("conv1d 16x32x1000, 5", (16, 32, 1000), 64, 5, "conv1d", padding=2)
convolution("conv1d 8x1x16000 to 64, 400 stride 160", (8, 1, 16000), 64, 400, "conv1d", stride=160)
convolution("conv3d 2x16x16x16x16, 3x3x3", (2, 16, 16, 16, 16), 32, 3, "conv3d", padding=1)
convolution("conv2d 4x64x128x128 to 1, 1x1", (4, 64, 128, 128), 1, 1)
convolution("conv2d 4x960x7x7, 3x3 depthwise", (4, 960, 7, 7), 960, 3, padding=1, groups=960)
convolution("conv2d 4x576x14x14, 3x3 depthwise stride 2", (4, 576, 14, 14), 576, 3, padding=1, stride=2, groups=576)
convolution("conv2d 4x240x28x28, 5x5 depthwise stride 2", (4, 240, 28, 28), 240, 5, padding=2, stride=2, groups=240)
convolution("conv2d 4x672x14x14, 5x5 depthwise", (4, 672, 14, 14), 672, 5, padding=2, groups=672)
convolution("conv2d 2x96x56x56, 7x7 depthwise", (2, 96, 56, 56), 96, 7, padding=3, groups=96)
convolution("conv2d 4x3x224x224 to 32, 3x3 stride 2", (4, 3, 224, 224), 32, 3, padding=1, stride=2)
convolution("conv2d 16x512x7x7 to 2048, 1x1", (16, 512, 7, 7), 2048, 1)
convolution("conv2d 1x1280x1x1 to 1000, 1x1", (1, 1280, 1, 1), 1000, 1)
convolution("conv_transpose2d 16x64x16x16 to 32, 4x4 stride 2", (16, 64, 16, 16), 32, 4,
            "conv_transpose2d", stride=2, padding=1)  # fmt: skip
convolution("conv_transpose2d 16x64x16x16 to 32, 2x2 stride 2", (16, 64, 16, 16), 32, 2,
            "conv_transpose2d", stride=2)  # fmt: skip


def pooling(name, image, function):
    size = 1
    for n in image:
        size *= n

    @program(name, GROUP, bytes=5.0 * size)
    def forward(torch):
        x = torch.randn(*image)
        return lambda: function(torch.nn.functional, x)

    @program(f"{name}, forward and backward", GROUP)
    def both(torch):
        x = torch.randn(*image, requires_grad=True)
        return training_call(torch, lambda: function(torch.nn.functional, x), x)


pooling("max_pool2d 16x64x32x32, 2x2", (16, 64, 32, 32), lambda F, x: F.max_pool2d(x, 2))
pooling("max_pool2d 16x64x32x32, 3x3 stride 2", (16, 64, 32, 32),
        lambda F, x: F.max_pool2d(x, 3, 2, 1))  # fmt: skip
pooling("avg_pool2d 16x64x32x32, 2x2", (16, 64, 32, 32), lambda F, x: F.avg_pool2d(x, 2))
pooling("adaptive_avg_pool2d 16x512x4x4 to 1", (16, 512, 4, 4),
        lambda F, x: F.adaptive_avg_pool2d(x, 1))  # fmt: skip
pooling("fractional_max_pool2d 8x16x32x32, 2", (8, 16, 32, 32),
        lambda F, x: F.fractional_max_pool2d(x, 2, output_ratio=(0.6, 0.6)))  # fmt: skip
pooling("max_pool1d 16x64x1000, 2", (16, 64, 1000), lambda F, x: F.max_pool1d(x, 2))
pooling("interpolate 16x64x16x16, bilinear x2", (16, 64, 16, 16),
        lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear"))  # fmt: skip
pooling("interpolate 1x3x224x224, bilinear, half the size, antialias", (1, 3, 224, 224),
        lambda F, x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True))  # fmt: skip
pooling("adaptive_avg_pool2d 16x64x56x56 to 7", (16, 64, 56, 56), lambda F, x: F.adaptive_avg_pool2d(x, 7))
pooling("pad 16x64x32x32 by 1, reflect", (16, 64, 32, 32), lambda F, x: F.pad(x, (1,) * 4, "reflect"))
pooling("max_pool2d 4x960x7x7, 2x2", (4, 960, 7, 7), lambda F, x: F.max_pool2d(x, 2))
pooling("avg_pool2d 4x960x7x7, 2x2", (4, 960, 7, 7), lambda F, x: F.avg_pool2d(x, 2))
pooling("interpolate 4x960x7x7, bilinear x2", (4, 960, 7, 7),
        lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear"))  # fmt: skip
pooling("pad 4x960x7x7 by 1, reflect", (4, 960, 7, 7), lambda F, x: F.pad(x, (1,) * 4, "reflect"))
pooling("pad 4x64x56x56 by 3, reflect", (4, 64, 56, 56), lambda F, x: F.pad(x, (3,) * 4, "reflect"))
pooling("pad 2x8x12x12x12 by 1, replicate", (2, 8, 12, 12, 12), lambda F, x: F.pad(x, (1,) * 6, "replicate"))


def grid_sampling(name, image, gradient, mode="bilinear"):
    """Samples of an image at points of which a fifth lies outside."""

    @program(name, GROUP)
    def sampling(torch):
        x = torch.randn(*image, requires_grad=gradient)
        grid = (torch.rand(image[0], *image[2:], len(image) - 2) * 2.2 - 1.1).requires_grad_(gradient)

        def call():
            return torch.nn.functional.grid_sample(x, grid, mode, align_corners=False)

        return training_call(torch, call, x, grid) if gradient else call


grid_sampling("grid_sample 8x16x32x32", (8, 16, 32, 32), False)
grid_sampling("grid_sample 8x16x32x32, forward and backward", (8, 16, 32, 32), True)
grid_sampling("grid_sample 8x3x32x32, nearest", (8, 3, 32, 32), False, "nearest")
grid_sampling("grid_sample 8x3x32x32, forward and backward", (8, 3, 32, 32), True)
grid_sampling("grid_sample 8x16x32x32, bicubic", (8, 16, 32, 32), False, "bicubic")
grid_sampling("grid_sample 2x4x16x16x16", (2, 4, 16, 16, 16), False)
