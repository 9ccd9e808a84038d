"""Complex numbers and Fourier transforms against PyTorch: values, dtypes, first and second derivatives."""

import numpy as np
import pytest
import torch

import dlgrad

DIFFERENTIABLE = [  # t: the module; F: its fft; z, w, v, m, bz, bw complex, r real
    "z+w",
    "z-w",
    "z*w",
    "z/w",
    "w-z",
    "-z",
    "z+1",
    "z*2j",
    "2j/z",
    "1-z",
    "z*r",
    "r*z",
    "r+z",
    "r/z",
    "z**2",
    "z**w",
    "z**0.5",
    "2**z",
    "z.abs()",
    "z.angle()",
    "z.conj()",
    "z.real",
    "z.imag",
    "t.conj(z)*w",
    "z.exp()",
    "z.log()",
    "z.sqrt()",
    "z.sin()",
    "z.cos()",
    "z.tan()",
    "z.sinh()",
    "z.cosh()",
    "z.tanh()",
    "z.asin()",
    "z.acos()",
    "z.atan()",
    "z.asinh()",
    "z.acosh()",
    "z.atanh()",
    "z.sigmoid()",
    "z.reciprocal()",
    "z.rsqrt()",
    "z.square()",
    "z.log2()",
    "z.log10()",
    "z.log1p()",
    "z.expm1()",
    "z.sgn()",
    "z.exp2()",
    "z.sum()",
    "z.sum(0)",
    "z.mean()",
    "z.mean(1)",
    "z.prod()",
    "z.prod(1)",
    "z.cumsum(0)",
    "z.cumprod(1)",
    "z.var()",
    "z.std(1)",
    "z.norm()",
    "t.linalg.vector_norm(z)",
    "t.linalg.vector_norm(z,1,dim=1)",
    "z@m",
    "bz@bw",
    "z@w",
    "w@m",
    "t.matmul(bz,m)",
    "t.mm(z,m)",
    "t.bmm(bz,bw)",
    "t.dot(w,v)",
    "t.vdot(w,v)",
    't.einsum("ij,jk->ik",z,m)',
    "t.outer(w,v)",
    "t.addmm(t.mm(z,m),z,m,beta=2,alpha=1j)",
    "t.mv(z,w)",
    "t.inner(z,w)",
    "t.tensordot(z,m,1)",
    "t.kron(z,m)",
    "z.t()",
    "z.T@z",
    "z.mH",
    "z.reshape(-1)",
    "z[0]",
    "z[:,1:]",
    "z[[0,2]]",
    "z[[0,1],[1,2]]",
    "z[z.abs()>1]",
    "t.cat([z,z])",
    "t.stack([z,z],1)",
    "z.flip(0)",
    "z.roll(1,0)",
    "t.where(z.abs()>1,z,w)",
    "t.where(z.abs()>1,z,0)",
    "z.masked_fill(z.abs()>1,1j)",
    "z.repeat(2,1)",
    "z.tril()",
    "z.diagonal()",
    "t.diag(w)",
    "z.gather(1,t.tensor([[0,1],[1,2],[3,3]]))",
    "z.index_select(0,t.tensor([2,0]))",
    "t.view_as_real(z)",
    "t.view_as_complex(t.view_as_real(z))",
    "z.clone()",
    "z.to(t.complex64)",
    "z.take_along_dim(t.tensor([[0],[1],[2]]),1)",
    "z.unfold(1,2,1)",
    "t.nn.functional.pad(z,(1,1))",
    "t.complex(r,r)",
    "t.polar(r.abs(),r)",
    "z.scatter(1,t.tensor([[0],[1],[2]]),z[:,:1])",
    "z.index_add(0,t.tensor([1,1]),z[:2])",
    "z.masked_select(z.abs()>1)",
    "z.repeat_interleave(2,0)",
    "z.expand(2,3,4).sum(0)",
    "z.movedim(0,1)",
    "t.block_diag(z,m)",
    "t.trace(z@z.mH)",
    "z.sum(dtype=t.complex64)",
    "t.addcmul(z,w,v)",
    "t.addcdiv(z,w,v)",
    "t.lerp(z,w,0.3)",
    "t.cumulative_trapezoid(z)",
    "t.trapezoid(z)",
    "t.diff(z)",
    "t.linalg.multi_dot([z,m])",
    "t.chain_matmul(z,m)",
    "z.pow(3)",
    "z.pow(-1)",
    "z.positive()",
    "t.cross(z[:,:3],z[:,1:],dim=1)",
    "t.nn.functional.linear(z,z)",
    "t.mean(z,(0,1))",
    "z.index_fill(0,t.tensor([1]),2j)",
    "F.fft(z)",
    "F.ifft(z)",
    "F.fft(r)",
    "F.rfft(r)",
    "F.irfft(z)",
    "F.irfft(z,5)",
    "F.hfft(z)",
    "F.ihfft(r)",
    "F.fft2(z)",
    "F.ifft2(z)",
    "F.rfft2(r)",
    "F.irfft2(z)",
    "F.fftn(bz)",
    'F.ifftn(bz,norm="ortho")',
    'F.rfftn(r,norm="forward")',
    "F.irfftn(bz)",
    "F.fft(z,6)",
    "F.fft(z,3,0)",
    'F.rfft(r,7,0,"ortho")',
    "F.hfft2(z)",
    "F.ihfft2(r)",
    "F.hfftn(z)",
    "F.ihfftn(r)",
    "F.fftshift(z)",
    "F.ifftshift(z)",
    "F.fft(z,dim=0)",
    "F.ifft(r,n=9)",
    "F.fft2(z,s=(2,7))",
]

PLAIN = [  # without a derivative
    "z==w",
    "z!=w",
    "t.isnan(z)",
    "t.isfinite(z)",
    "t.isinf(z)",
    "t.isreal(z)",
    "z.any()",
    "z.all()",
    "t.count_nonzero(z)",
    "t.allclose(z,z)",
    "t.isclose(z,z)",
    "t.equal(z,z)",
    "z.bool()",
    "t.is_complex(z)",
    "z.logical_not()",
    "t.zeros(2,dtype=t.complex64)",
    "t.ones(2,2,dtype=t.complex128)",
    "t.full((2,),1+2j)",
    "t.eye(3,dtype=t.complex64)",
    "t.tensor([1,2j])",
    "z.to(t.complex64)+1",
    "t.tensor(1j)",
    "F.fftfreq(5)",
    "F.rfftfreq(6,0.1)",
    "z.tolist()",
    "str(z)",
    "str(w)",
    "repr(t.tensor([1+2j,3]))",
    "repr(t.tensor(1.5j))",
    "t.zeros_like(z)",
    "t.ones_like(z)",
    "t.empty_like(z).dtype",
    "z.new_zeros(2)",
    "t.result_type(z.to(t.complex64),1.0)",
    "z.numpy().dtype",
    "t.from_numpy(z.numpy())",
    "t.arange(3).to(t.complex64)",
    "z.stride()",
    "z.element_size()",
    "t.finfo(t.complex64).eps",
    "t.full((2,),1.5,dtype=t.complex64)",
    "t.nonzero(z)",
    "z.real.storage_offset()",
    "z.imag.storage_offset()",
    "t.linspace(0,1+1j,3)",
    "t.manual_seed(0) and t.randn(3,dtype=t.complex64)",
    "t.manual_seed(0) and t.rand(2,dtype=t.complex64)",
    "z[0,0].item()",
]


def draw(rng, *shape, real=False):
    x = rng.normal(size=shape)
    return x if real else x + 1j * rng.normal(size=shape)


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    shapes = {"z": (3, 4), "w": (4,), "m": (4, 5), "bz": (2, 3, 4), "bw": (2, 4, 3), "v": (4,)}
    return {
        **{name: draw(rng, *shape) for name, shape in shapes.items()},
        "r": draw(rng, 3, 4, real=True),
    }


def names(module, values, grad):
    tensors = {name: module.tensor(x).requires_grad_(grad) for name, x in values.items()}
    return tensors, {"t": module, "F": module.fft, **tensors}


def array(t):
    return None if t is None else np.asarray(t.detach().resolve_conj().resolve_neg().numpy())


def same(ours, theirs, message):
    """Equal arrays; no gradient counts as zeros."""
    if ours is None or theirs is None:
        rest = ours if theirs is None else theirs
        assert rest is None or not np.abs(array(rest)).max(), message
        return
    a, b = array(ours), array(theirs)
    assert (a.dtype, a.shape) == (b.dtype, b.shape), message
    single = b.dtype in (np.complex64, np.float32)
    np.testing.assert_allclose(
        a, b, rtol=1e-4 if single else 1e-7, atol=1e-4 if single else 1e-8, err_msg=str(message)
    )


def derivatives(module, expression, values):
    """The value, the gradients for a random cotangent, and those of the squares of these gradients."""
    tensors, scope = names(module, values, True)
    out = eval(expression, scope)
    cotangent = draw(np.random.default_rng(1), *out.shape, real=not out.is_complex())
    inputs = list(tensors.values())
    cotangent = module.tensor(np.asarray(cotangent)).to(out.dtype)
    first = module.autograd.grad([out], inputs, [cotangent], create_graph=True, allow_unused=True)
    squares = [(g.abs() ** 2).sum() for g in first if g is not None and g.requires_grad]
    second = (
        module.autograd.grad(sum(squares), inputs, allow_unused=True)
        if squares
        else [None] * len(inputs)
    )
    return out, first, second


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_derivatives(expression, values):
    ours, theirs = (derivatives(module, expression, values) for module in (dlgrad, torch))
    same(ours[0], theirs[0], expression)
    for order in (1, 2):
        for name, a, b in zip(values, ours[order], theirs[order]):
            same(a, b, (expression, name, f"derivative {order}"))


@pytest.mark.parametrize("expression", PLAIN)
def test_plain(expression, values):
    ours, theirs = (eval(expression, names(module, values, False)[1]) for module in (dlgrad, torch))
    if isinstance(theirs, torch.Tensor):
        same(ours, theirs, expression)
    elif isinstance(theirs, (float, complex)) or isinstance(theirs, list):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    else:
        assert str(ours).replace("dlgrad.", "") == str(theirs).replace("torch.", "")
