"""Which functions and methods are memos (plan.py, memo): those whose way depends on their arguments' layouts and values only.

What reads elements to decide (masks, `unique`), draws random numbers, keeps statistics or changes more than the one tensor
it returns must not stand here.
"""

from __future__ import annotations

import sys

from ..plan import memo
from ..tensor import Tensor

_VIEWS = """broadcast_to diagonal expand flatten moveaxis movedim narrow permute ravel reshape select squeeze swapaxes swapdims t
transpose unflatten unsqueeze"""
_PARTS = "chunk split split_with_sizes unbind dsplit hsplit tensor_split vsplit unsafe_chunk unsafe_split unsafe_split_with_sizes"
_NEW = """arange empty empty_like empty_permuted empty_strided eye full full_like linspace logspace ones ones_like scalar_tensor
tril_indices triu_indices zeros zeros_like"""
_REDUCTIONS = """all amax amin any argmax argmin count_nonzero cumprod cumsum log_softmax logsumexp max mean min nansum prod softmax
sort std sum topk tril triu var"""
_ELEMENTWISE = """abs acos acosh add addcdiv addcmul asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp
clamp_max clamp_min cos cosh div divide eq erf erfc exp exp2 expm1 floor floor_divide fmod frac ge gt le lerp log log10 log1p log2
logical_and logical_not logical_or logical_xor lt masked_fill maximum minimum mul multiply ne neg pow reciprocal remainder round rsqrt
rsub sigmoid sign sin sinh sqrt square sub subtract tan tanh trunc where relu"""
#: Other names of these, whose in-place forms are functions of their own.
_ALIASES = """absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh fix greater greater_equal less less_equal negative
not_equal"""
_PRODUCTS = "addbmm addmm addmv addr baddbmm bmm dot inner linear matmul mm mv outer vdot"
#: What is a method, too.
_BOTH = """adjoint aminmax angle argsort bitwise_left_shift bitwise_right_shift cholesky cholesky_solve clip conj conj_physical copysign corrcoef cov cross cummax cummin deg2rad det diag diag_embed diagflat diagonal_scatter
diff digamma dist erfinv fliplr flipud float_power fmax fmin frexp gcd geqrf hardshrink heaviside histc hypot i0 igamma igammac
index_add index_copy index_fill index_put index_reduce inverse isclose isfinite isinf isnan isneginf isposinf isreal kron kthvalue lcm
ldexp lgamma logaddexp logaddexp2 logcumsumexp logdet logit lu lu_solve masked_scatter matrix_exp matrix_power median mode msort mvlgamma
nan_to_num nanmean nanmedian nanquantile narrow_copy nextafter norm orgqr ormqr pinverse polygamma put qr quantile rad2deg renorm
repeat_interleave rot90 scatter scatter_add scatter_reduce select_scatter sgn signbit sinc slice_scatter slogdet svd take take_along_dim
tile trace triangular_solve true_divide xlogy"""
_JOINS = """atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors cartesian_prod cat chain_matmul column_stack combinations concat
concatenate dstack einsum hstack meshgrid row_stack stack tensordot vstack"""
_LAYERS = """celu celu_ elu elu_ gelu glu group_norm hardsigmoid hardswish hardtanh hardtanh_ layer_norm leaky_relu leaky_relu_ linear log_softmax logsigmoid mish relu
relu_ relu6 rms_norm selu selu_ sigmoid silu softmax softplus softsign tanh mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss binary_cross_entropy
binary_cross_entropy_with_logits conv1d conv2d batch_norm avg_pool2d max_pool2d adaptive_avg_pool2d scaled_dot_product_attention pad
adaptive_avg_pool1d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool3d bilinear
channel_shuffle conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity
embedding embedding_bag fold gaussian_nll_loss grid_sample hardshrink hinge_embedding_loss instance_norm interpolate kl_div
local_response_norm lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss max_pool1d max_pool3d max_unpool1d max_unpool2d max_unpool3d
multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss normalize pairwise_distance pdist pixel_shuffle pixel_unshuffle
poisson_nll_loss prelu soft_margin_loss softmin softshrink tanhshrink threshold threshold_ triplet_margin_loss unfold"""
#: Those of linalg, fft and special.
LINALG = """cholesky cholesky_ex cond cross det diagonal eigh eigvalsh householder_product inv inv_ex ldl_factor ldl_factor_ex ldl_solve lu
lu_factor lu_factor_ex lu_solve matrix_exp matrix_norm matrix_power multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd
svdvals tensorinv tensorsolve vander vecdot vector_norm"""
FFT = """fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2
rfftfreq rfftn"""
SPECIAL = """airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v
chebyshev_polynomial_w entr erfcx gammainc gammaincc hermite_polynomial_h hermite_polynomial_he i0e i1 i1e laguerre_polynomial_l
legendre_polynomial_p log_ndtr logit modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri
polygamma scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u
shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w sinc spherical_bessel_j0 xlog1py xlogy zeta"""
#: Those of nn.functional.
LAYERS = frozenset(_LAYERS.split())
_FUNCTIONS = " ".join(
    (
        _VIEWS,
        _PARTS,
        _NEW,
        _REDUCTIONS,
        _ELEMENTWISE,
        _PRODUCTS,
        _BOTH,
        _JOINS,
        """alias_copy celu constant_pad_nd fill frobenius_norm imag nuclear_norm positive real resolve_conj resolve_neg selu
        split_with_sizes_copy threshold clone flip roll gather index_select bucketize cdist complex cumulative_trapezoid gradient isin lu_unpack native_group_norm
        native_layer_norm polar searchsorted std_mean trapezoid trapz unravel_index vander var_mean view_as_real
        diagonal_copy expand_copy permute_copy select_copy slice_copy split_copy squeeze_copy t_copy transpose_copy unbind_copy
        unfold_copy unsqueeze_copy view_copy view_as_real_copy""",
    )
)
_METHODS = " ".join((
    _VIEWS, _PARTS, _REDUCTIONS, _ELEMENTWISE, _PRODUCTS, _BOTH,
    "squeeze_ unsqueeze_ transpose_ t_ swapaxes_ swapdims_ new_empty_strided positive resolve_conj resolve_neg cdouble cfloat repeat sum_to_size addbmm_ addmm_ addmv_ addr_ baddbmm_ index_add_ index_copy_ index_fill_ index_put_ index_reduce_ "
    "masked_scatter_ put_ scatter_ scatter_add_ scatter_reduce_ cumsum_ cumprod_ tril_ triu_ "
    "bfloat16 bool byte char clone contiguous double expand_as float flip gather half index_select int long new_empty new_full new_ones "
    "new_zeros reshape_as roll short to type_as unfold view view_as __getitem__ __setitem__ fill_ zero_ copy_ masked_fill_ addcmul_ addcdiv_ lerp_",
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __neg__ __matmul__ __iadd__ __isub__ __imul__ "
    "__itruediv__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __invert__ __and__ __or__ __xor__ __mod__ __floordiv__ __lshift__ __rshift__ "
    "__rfloordiv__ __rmod__ __rpow__ __rand__ __ror__ __rxor__ __rlshift__ __rrshift__ __rmatmul__ __imatmul__ __ifloordiv__ __imod__ __ipow__ "
    "__iand__ __ior__ __ixor__ __ilshift__ __irshift__ __abs__ __pos__",
    " ".join([name + "_" for names in (_ELEMENTWISE, _BOTH, _ALIASES) for name in names.split()]),
))  # fmt: skip


def remember_functions(namespace, names=_FUNCTIONS):
    """Makes memos of those of these functions that are in the namespace, for the modules that they come from too."""
    made = {namespace[name]: memo(namespace[name]) for name in names.split() if name in namespace}
    for name, function in list(namespace.items()):
        if callable(function) and function in made:  # by all its names
            namespace[name] = made[function]
            module = sys.modules[function.__module__]
            if module.__dict__.get(name) in (function, getattr(function, "__wrapped__", function)):
                setattr(module, name, made[function])


def remember_methods():
    """Makes memos of Tensor's methods above, by all their names."""
    of = {name: Tensor.__dict__.get(name) for name in _METHODS.split()}
    made = {m: memo(m) for m in of.values() if type(m) is type(remember_methods)}
    for name, method in list(Tensor.__dict__.items()):
        if type(method) is type(remember_methods) and method in made:
            setattr(Tensor, name, made[method])
    for name in ("T", "mT"):
        setattr(
            Tensor,
            name,
            property(memo(Tensor.__dict__[name].fget), doc=Tensor.__dict__[name].__doc__),
        )
