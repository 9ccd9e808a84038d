"""Linear algebra: systems, factorisations, eigenvalues; small, in a batch, large; with gradients."""

from . import program, training_call

GROUP = "linalg"


def case(name, shapes, function, dtype="float32", gradient=False):
    """A program over random matrices."""

    @program(name, GROUP)
    def setup(torch):
        arguments = [torch.randn(*shape, dtype=getattr(torch, dtype)) for shape in shapes]
        if gradient:
            for t in arguments:
                t.requires_grad_()
            return training_call(torch, lambda: function(torch, *arguments), *arguments)
        return lambda: function(torch, *arguments)


def definite(name, shape, function, dtype="float32", gradient=False):
    """A program over a symmetric, positive definite matrix."""

    @program(name, GROUP)
    def setup(torch):
        x = torch.randn(*shape, dtype=getattr(torch, dtype))
        a = x @ x.mT / shape[-1] + torch.eye(shape[-1], dtype=x.dtype)
        if gradient:
            a.requires_grad_()
            return training_call(torch, lambda: function(torch, a), a)
        return lambda: function(torch, a)


case("solve 4x4", [(4, 4), (4, 4)], lambda t, a, b: t.linalg.solve(a, b))
case("solve 4x4, training", [(4, 4), (4, 4)], lambda t, a, b: t.linalg.solve(a, b), gradient=True)
case("solve 1000x4x4", [(1000, 4, 4), (1000, 4, 1)], lambda t, a, b: t.linalg.solve(a, b))
case("solve 512x512", [(512, 512), (512, 512)], lambda t, a, b: t.linalg.solve(a, b))
case("inv 4x4", [(4, 4)], lambda t, a: t.linalg.inv(a))
case("inv 128x128, training", [(128, 128)], lambda t, a: t.linalg.inv(a), gradient=True)
case("slogdet 8x32x32, training", [(8, 32, 32)], lambda t, a: t.linalg.slogdet(a)[1], gradient=True)
case("lu_factor 512x512 float64", [(512, 512)], lambda t, a: t.linalg.lu_factor(a), "float64")
case("solve_triangular 512x512", [(512, 512), (512, 512)],
     lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True, unitriangular=True))  # fmt: skip
case("qr 128x128", [(128, 128)], lambda t, a: t.linalg.qr(a))
case("qr 4x4, training", [(4, 4)], lambda t, a: t.linalg.qr(a)[1], gradient=True)
case("lstsq 256x128", [(256, 128), (256, 4)], lambda t, a, b: t.linalg.lstsq(a, b)[0])
case("pinv 64x32", [(64, 32)], lambda t, a: t.linalg.pinv(a))
case("svd 100x100", [(100, 100)], lambda t, a: t.linalg.svd(a))
case("svdvals 32x32 float64", [(32, 32)], lambda t, a: t.linalg.svdvals(a), "float64")
case("eigvals 32x32", [(32, 32)], lambda t, a: t.linalg.eigvals(a))
case("matrix_exp 32x32", [(32, 32)], lambda t, a: t.matrix_exp(a / 8))
case("cross 10000x3", [(10_000, 3), (10_000, 3)], lambda t, a, b: t.linalg.cross(a, b))
case("kron 32x32", [(32, 32), (32, 32)], lambda t, a, b: t.kron(a, b))
case("pdist 300x32, training", [(300, 32)], lambda t, a: t.pdist(a), gradient=True)
case("cdist 200x32, p = 1, training", [(200, 32), (200, 32)], lambda t, a, b: t.cdist(a, b, 1.0), gradient=True)
case("cdist 64x16x16", [(64, 16, 16), (64, 16, 16)], lambda t, a, b: t.cdist(a, b))
case("cdist 64x16x16, p = 1, training", [(64, 16, 16), (64, 16, 16)], lambda t, a, b: t.cdist(a, b, 1.0), gradient=True)
case("solve_triangular 32x32, one side", [(32, 32), (32, 1)], lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False))
case("lu 10x16x16", [(10, 16, 16)], lambda t, a: t.linalg.lu(a))
definite("cholesky 4x4", (4, 4), lambda t, a: t.linalg.cholesky(a))
definite("cholesky 512x512", (512, 512), lambda t, a: t.linalg.cholesky(a))
definite("cholesky 32x32, training", (32, 32), lambda t, a: t.linalg.cholesky(a), gradient=True)
definite("eigh 1000x4x4", (1000, 4, 4), lambda t, a: t.linalg.eigh(a))
definite("eigh 128x128", (128, 128), lambda t, a: t.linalg.eigh(a))
definite("eigvalsh 512x512 float64", (512, 512), lambda t, a: t.linalg.eigvalsh(a), "float64")
