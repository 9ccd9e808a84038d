"""The types that generate_stubs.py gives to parameters and results: by the parameter's name, as PyTorch's API uses
one name for one thing, with the exceptions beside it. What needs overloads is in scripts/stubs/*.pyi."""

from __future__ import annotations

TENSOR = """
    A B L LD LU LU_data LU_pivots a abs anchor angle b batch1 batch2 boundaries count grid in_proj_bias
    in_proj_weight index indices input input1 input2 input_lengths k_proj_weight key log_probs logits mask mat
    mat1 mat2 negative other out_proj_bias out_proj_weight pivots positive pos_weight prob q_proj_weight query
    running_mean running_var sorted_sequence source src static_k static_v self target target_lengths targets
    tau tensor tensor1 tensor2 theta v_proj_weight value values vec vec1 vec2 weight weights x x1 x2 y bias
    bias_k bias_v bn_b bn_rm bn_rv bn_w conv_b conv_w linear_b linear_w linear_weight linear_bias attn_mask
    key_padding_mask per_sample_weights offsets sorter aweights fweights append prepend total var new_state
    gradient scale_tril covariance_matrix precision_matrix loc concentration1 concentration0 concentration
    rate df df1 df2 probs total_count temperature low high scale src_mask tgt_mask memory_mask tgt memory
    memory_key_padding_mask src_key_padding_mask tgt_key_padding_mask hx permutation output
""".split()

INT = """
    M N C HxW col row dim dim0 dim1 dim2 blank chunks decimals downscale_factor edge_order edgeitems embed_dim
    embed_dim_to_check end_dim group groups hidden_size in_channels in_features in1_features in2_features
    ignore_index input_size k length linewidth max_iter n n_power_iterations niter num_chunks num_classes
    num_embeddings num_features num_groups num_heads num_layers num_parameters num_samples minlength offset
    out_channels out_features padding_idx precision r start_dim steps step_size storage_offset upscale_factor
    window_length nhead d_model dim_feedforward num_encoder_layers num_decoder_layers n_classes total_iters
    last_epoch T_0 T_max T_mult epoch history_size max_eval proj_size dimension anneal_epochs ns_steps
    event_dim reinterpreted_batch_ndims total_steps epochs steps_per_epoch step_size_up step_size_down
    cache_size m kdim vdim divisor_override
""".split()

FLOAT = """
    a b alpha atol base beta clip_value delta dampening dropout dropout_p eps eta_min factor gamma init_scale
    growth_factor backoff_factor label_smoothing lambd lower lr_decay margin max_norm max_val min_val momentum
    negative_slope power rcond rtol scale_factor start_factor end_factor std threshold total_norm upper
    weight_decay p norm_type max_lr base_lr pct_start div_factor final_div_factor growth_interval
    momentum_decay rho initial_accumulator_value swa_lr tolerance_grad tolerance_change init div_value decay
    lr
""".split()

BOOL = """
    add_zero_attn align_corners center foreach full fused is_causal log_input mmap recompute_scale_factor
    retain_graph sci_mode size_average reduce training weights_only validate_args
""".split()

ANY = """
    model data memo state obj batch v dst_type pickle_module map_location context_fn metadata profile options
""".split()

# parameter name -> type; None as the default adds "| None"
PARAMETERS: dict[str, str] = {
    **dict.fromkeys(ANY, "Any"),
    **dict.fromkeys(FLOAT, "float"),
    **dict.fromkeys(BOOL, "bool"),
    **dict.fromkeys(INT, "int"),
    **dict.fromkeys(TENSOR, "Tensor"),
    **dict.fromkeys(
        "beta alpha value fill_value start end step min max posinf neginf nan s dx".split(),
        "Number",
    ),
    **dict.fromkeys(
        "kernel_size stride padding dilation output_padding output_size".split(),
        "Ints",
    ),
    **dict.fromkeys("dims axis".split(), "Ints"),
    **dict.fromkeys("normalized_shape sample_shape batch_shape event_shape".split(), "Ints"),
    **dict.fromkeys(
        "size shape split_sizes unflattened_size in_shape out_shape pad".split(),
        "Sequence[int]",
    ),
    **dict.fromkeys("tensors datasets".split(), "Sequence[Tensor]"),
    **dict.fromkeys("parameters".split(), "Tensor | Iterable[Tensor]"),
    **dict.fromkeys(
        "func fn hook closure distance_function function".split(),
        "Callable[..., Any]",
    ),
    **dict.fromkeys(
        "reduction mode padding_mode nonlinearity indexing name side "
        "rounding_mode driver norm target device_type filename line_search_fn".split(),
        "str",
    ),
    "dtype": "dtype",
    "device": "Device",
    "layout": "layout",
    "memory_format": "memory_format",
    "generator": "Generator",
    "names": "Sequence[str]",
    "input": "Tensor",
    "target": "Tensor",
    "module": "Module",
    "f": "FileLike",
    "kwargs": "Mapping[str, Any]",
    "args": "Any",
    "ord": "float | str",
    "from_": "dtype",
    "to": "dtype",
    "type1": "dtype",
    "type2": "dtype",
    "betas": "tuple[float, float]",
    "etas": "tuple[float, float]",
    "step_sizes": "tuple[float, float]",
    "params": "ParamsT",
    "optimizer": "Optimizer",
    "state_dict": "Mapping[str, Any]",
    "base_distribution": "Distribution",
    "indices_or_sections": "Ints | Tensor",
    "split_size_or_sections": "Ints",
    "milestones": "Sequence[int]",
    "factor": "float",
    "schedulers": "Sequence[LRScheduler]",
    "rounding_mode": "str",
    "conv": "Module",
    "bn": "Module",
    "linear": "Module",
    "module_cls": "type[Module]",
    "repeats": "Ints | Tensor",
    "lr": "float | Tensor",
    "recompute_scale_factor": "bool",
    "scale_factor": "float | Sequence[float]",
    "spacing": "Any",
    "output_ratio": "float | Sequence[float]",
    "_random_samples": "Tensor",
    "_stacklevel": "int",
    "inputs": "Tensor | Sequence[Tensor]",
    "outputs": "Tensor | Sequence[Tensor]",
    "grad_outputs": "Tensor | Sequence[Tensor | None]",
    "low": "float | Tensor",
    "high": "float | Tensor",
    "cutoffs": "Sequence[int]",
    "nan": "float",
    "data": "Any",
    "size_average": "bool",
    "max_norm": "float",
    "reduce": "bool",
    "ndarray": "Any",
    "buffer": "Any",
    "dim": "int",
    "index": "Tensor",
    "hx": "Tensor",
    "self": "Tensor",
    "embedding_dim": "int",
    "num_channels": "int",
    "min_value": "float",
    "max_value": "float",
    "amount": "int | float",
    "importance_scores": "Tensor",
    "tensor_name": "str",
    "from_module": "Module",
    "to_module": "Module",
    "parametrization": "Module",
    "lengths": "Tensor | Sequence[int]",
    **dict.fromkeys(
        "n_fft hop_length win_length chunk_size split_size interpolation_mode".split(), "int"
    ),
    **dict.fromkeys("onesided return_complex align_to_window".split(), "bool"),
    **dict.fromkeys("in_dims out_dims argnums primals tangents models default".split(), "Any"),
    "window": "Tensor",
    "initial": "Number",
    "physical_layout": "Sequence[int]",
    "callable": "Callable[..., float]",
    "modules": "Iterable[Module]",
    "keys": "Iterable[str]",
    "times": "int",
    "total_length": "int",
    "packed_sequences": "PackedSequence",
    "padded_sequences": "Tensor",
    "loader": "Iterable[Any]",
    "base_transform": "Transform",
    "transforms": "Sequence[Transform] | Transform",
    "parts": "Sequence[Transform]",
    "exponent": "float | Tensor",
    "component_distribution": "Distribution",
    "mixture_distribution": "Distribution",
    "t": "Tensor",
    "default_mask": "Tensor",
    "embeddings": "Tensor",
    "sz": "int",
    "train": "bool",
    "use_input_stats": "bool",
    "use_reentrant": "bool",
    "segments": "int",
    "bn_eps": "float",
    "folder": "str",
    "copy": "bool",
    "custom_encoder": "Module",
    "custom_decoder": "Module",
    "src_is_causal": "bool",
    "tgt_is_causal": "bool",
    "cache_enabled": "bool",
    "parameter_and_buffer_dicts": "Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]",
    "parameters_and_buffers": "Mapping[str, Tensor]",
    "new_scale": "float | Tensor",
    "type_p": "type",
    "type_q": "type",
    "orthogonal_map": "str",
    "process_group": "Any",
    "dynamic": "bool",
}

# "function.parameter" or "Class.parameter" (with None where the default is not None but it is accepted)
EXCEPTIONS: dict[str, str] = {
    **{
        f"{f}.dim": "Ints"
        for f in (
            "all any amax amin sum nansum mean nanmean prod logsumexp count_nonzero norm vector_norm matrix_norm fftn ifftn rfftn "
            "irfftn hfftn ihfftn fft2 ifft2 rfft2 irfft2 hfft2 ihfft2 fftshift ifftshift std var std_mean var_mean squeeze unflatten"
        ).split()
    },
    **{
        f"{f}.s": "Sequence[int]"
        for f in (
            "fftn ifftn rfftn irfftn hfftn ihfftn fft2 ifft2 rfft2 irfft2 hfft2 ihfft2"
        ).split()
    },
    **{f"{f}.value": "Number | Tensor" for f in "masked_fill index_fill fill fill_".split()},
    **{
        f"{f}.bias": "bool"
        for f in (
            "Linear Bilinear LazyLinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d "
            "LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LayerNorm RNNCell LSTMCell GRUCell RNN LSTM GRU "
            "RNNBase RNNCellBase Transformer TransformerEncoderLayer TransformerDecoderLayer MultiheadAttention"
        ).split()
    },
    **{f"{f}.dim": "int" for f in "Softmax LogSoftmax Softmin GLU CosineSimilarity".split()},
    **{
        f"{f}.padding": "Ints | str"
        for f in "conv1d conv2d conv3d Conv1d Conv2d Conv3d LazyConv1d LazyConv2d LazyConv3d".split()
    },
    **{f"{f}.destination": "Ints" for f in "moveaxis movedim".split()},
    **{f"{f}.source": "Ints" for f in "moveaxis movedim".split()},
    **{f"{f}.start": "Number | Tensor" for f in "linspace logspace".split()},
    **{f"{f}.end": "Number | Tensor" for f in "linspace logspace".split()},
    **{f"{f}.min": "Number | Tensor" for f in "clamp clip clamp_min".split()},
    **{f"{f}.max": "Number | Tensor" for f in "clamp clip clamp_max".split()},
    **{f"{f}.seed": "int" for f in ("manual_seed",)},
    **{f"{f}.reduce": "str" for f in ("scatter", "scatter_", "scatter_reduce", "scatter_reduce_")},
    **{f"{f}.index": "int" for f in ("select", "select_scatter")},
    **{f"{f}.start": "int" for f in ("narrow", "slice_scatter")},
    **{f"{f}.end": "int" for f in ("slice_scatter",)},
    **{f"{f}.step": "int" for f in ("slice_scatter",)},
    **{
        f"{f}.stride": "Sequence[int]"
        for f in (
            "as_strided",
            "as_strided_",
            "as_strided_scatter",
            "empty_strided",
            "new_empty_strided",
        )
    },
    **{f"{f}.p": "float | str" for f in ("norm", "cond")},
    **{f"{f}.indices": "Sequence[Tensor | None]" for f in ("index_put", "index_put_")},
    **{f"{f}.values": "Tensor | Number" for f in ("searchsorted",)},
    **{f"{f}.input": "Tensor | Number" for f in ("bucketize", "isin", "where", "fill")},
    **{f"{f}.rtol": "float | Tensor" for f in ("pinv", "matrix_rank")},
    **{f"{f}.atol": "float | Tensor" for f in ("pinv", "matrix_rank")},
    **{
        f"{f}.{p}": "Sequence[int] | Tensor"
        for f in ("ctc_loss", "CTCLoss")
        for p in ("input_lengths", "target_lengths")
    },
    **{f"{f}.device": "Device | None" for f in ("set_default_device",)},
    **{f"{f}.shape": "int | Sequence[int]" for f in ("reshape", "view")},
    "lerp.weight": "Number | Tensor",
    "lerp.end": "Tensor",
    "isin.elements": "Tensor | Number",
    "isin.test_elements": "Tensor | Number",
    "dist.p": "float",
    "float_power.input": "Tensor | Number",
    "float_power.exponent": "Tensor | Number",
    "rsub.other": "Tensor | Number",
    "binomial.count": "Tensor",
    "cross.dim": "int",
    "polygamma.n": "int",
    "roll.shifts": "Ints",
    "tensordot.dims": "int | Sequence[Sequence[int]]",
    "rot90.dims": "Sequence[int]",
    "tile.args": "int | Sequence[int]",
    "flip.args": "int | Sequence[int]",
    "flip.dims": "Ints",
    "permute.dims": "int | Sequence[int]",
    "repeat.repeats": "int | Sequence[int]",
    "expand.sizes": "int | Sequence[int]",
    "resize_.sizes": "int | Sequence[int]",
    "histc.bins": "int",
    "histogram.bins": "int | Tensor",
    "histogram.range": "tuple[float, float]",
    "histogramdd.bins": "int | Sequence[int] | Sequence[Tensor]",
    "histogramdd.range": "Sequence[float]",
    "pad.value": "float",
    "pad.pad": "Sequence[int]",
    "constant_.val": "float",
    "interpolate.size": "Ints",
    "upsample.size": "Ints",
    "upsample_nearest.size": "Ints",
    "upsample_bilinear.size": "Ints",
    "gradient.dim": "Ints",
    "tensorinv.ind": "int",
    "tensorsolve.dims": "Sequence[int]",
    "renorm.p": "float",
    "renorm.maxnorm": "float",
    "cov.correction": "int",
    "quantile.q": "float | Tensor",
    "nanquantile.q": "float | Tensor",
    "svd_lowrank.q": "int",
    "pca_lowrank.q": "int",
    "mvlgamma.p": "int",
    "multigammaln.p": "int",
    "norm_except_dim.v": "Tensor",
    "norm_except_dim.pow": "float",
    "manual_seed.seed": "int",
    "set_num_threads.n": "int",
    "set_default_dtype.d": "dtype",
    "typename.obj": "object",
    "result_type.values": "Tensor | Number",
    "broadcast_shapes.shapes": "int | Sequence[int]",
    "block_diag.tensors": "Tensor",
    "cartesian_prod.tensors": "Tensor",
    "broadcast_tensors.tensors": "Tensor",
    "meshgrid.tensors": "Tensor | Sequence[Tensor]",
    "chain_matmul.matrices": "Tensor",
    "use_deterministic_algorithms.mode": "bool",
    "set_flush_denormal.mode": "bool",
    "set_float32_matmul_precision.precision": "str",
    "fork_rng.devices": "Any",
    "multinomial.input": "Tensor",
    "normal_.mean": "float",
    "normal_.tensor": "Tensor",
    "as_strided.size": "Sequence[int]",
    "affine_grid.size": "Sequence[int]",
    "one_hot.num_classes": "int",
    "glu.dim": "int",
    "unfold.size": "int",
    "unfold.step": "int",
    "unflatten.sizes": "Sequence[int]",
    "lp_pool1d.norm_type": "float",
    "linspace.steps": "int",
    "segment_reduce.data": "Tensor",
    "segment_reduce.lengths": "Tensor",
    "segment_reduce.reduce": "str",
    "index_reduce.reduce": "str",
    "is_set_to.tensor": "Tensor",
    "sparse_.sparsity": "float",
    "trapezoid.dx": "float",
    "calculate_gain.param": "float | None",
    "lu.get_infos": "bool",
    "linalg.matrix_rank.tol": "float | Tensor | None",
    "cosine.M": "int",
    "register_hook.hook": "Callable[[Tensor], Tensor | None]",
    "register_post_accumulate_grad_hook.hook": "Callable[[Tensor], None]",
    "clip_grad_value_.foreach": "bool | None",
    "kaiser.M": "int",
    "diag_embed.offset": "int",
    "gaussian_nll_loss.var": "Tensor | float",
    "HuberLoss.delta": "float",
    "register_buffer.tensor": "Tensor | None",
    "index_fill.value": "Number | Tensor",
    "addcmul.value": "Number",
    "addcdiv.value": "Number",
    "scatter.value": "Number | None",
    "scatter.src": "Tensor | Number | None",
    "kthvalue.k": "int | Tensor",
    "topk.k": "int | Tensor",
    "native_batch_norm.momentum": "float",
    "native_layer_norm.normalized_shape": "Sequence[int]",
    "repeat_interleave.output_size": "int",
    **{
        f"{f}.activation": "str | Callable[[Tensor], Tensor]"
        for f in ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
    },
    "scaled_dot_product_attention.value": "Tensor",
    "multi_head_attention_forward.value": "Tensor",
    **{
        f"{f}.{p}": "Tensor | None"
        for f in ("batch_norm", "instance_norm")
        for p in ("running_mean", "running_var")
    },
    **{
        f"{f}.momentum": "float | None"
        for f in "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm".split()
    },
    "local_response_norm.size": "int",
    "LocalResponseNorm.size": "int",
    "pad_sequence.sequences": "Sequence[Tensor]",
    "pack_sequence.sequences": "Sequence[Tensor]",
    "pad_packed_sequence.sequence": "PackedSequence",
    "kl_divergence.p": "Distribution",
    "kl_divergence.q": "Distribution",
    "nll_loss.weight": "Tensor | None",
    "MultivariateNormal.loc": "Tensor",
    "Categorical.probs": "Tensor | None",
    "Categorical.logits": "Tensor | None",
}

# What a function or method returns; where it is not said: Tensor
RESULTS: dict[str, str] = {
    **dict.fromkeys(
        "allclose equal is_floating_point is_complex is_nonzero is_conj is_neg is_inference is_signed is_contiguous "
        "is_same_size is_grad_enabled is_autocast_enabled is_autocast_cpu_enabled set_flush_denormal can_cast "
        "gradgradcheck are_deterministic_algorithms_enabled is_parametrized is_pruned is_available is_initialized "
        "is_inference_mode_enabled is_leaf requires_grad retains_grad is_bf16_supported is_enabled is_lazy has_rsample "
        "has_enumerate_support "
        "has_uninitialized_params".split(),
        "bool",
    ),
    **dict.fromkeys(
        "numel dim ndimension nelement element_size storage_offset data_ptr get_device get_num_threads get_num_interop_threads seed initial_seed "
        "device_count ndim itemsize nbytes output_nr "
        "__len__ __index__ __int__ __hash__".split(),
        "int",
    ),
    **dict.fromkeys(
        "set_num_threads set_num_interop_threads set_default_dtype set_default_device set_default_tensor_type set_printoptions "
        "set_rng_state use_deterministic_algorithms set_float32_matmul_precision backward retain_grad save save_file empty_cache "
        "reset_peak_memory_stats zero_grad clip_grad_value_ clip_grads_with_norm_ vector_to_parameters "
        "register_parameter register_buffer add_module register_module reset_parameters "
        "reset_running_stats initialize_parameters update "
        "clear "
        "remove __delitem__ __setitem__ __exit__ "
        "update_parameters update_bn unscale_ flatten_parameters "
        "set_submodule".split(),
        "None",
    ),
    **dict.fromkeys(
        "split split_with_sizes chunk tensor_split unbind hsplit vsplit dsplit broadcast_tensors split_copy unbind_copy "
        "split_with_sizes_copy unsafe_chunk unsafe_split unsafe_split_with_sizes unravel_index "
        "gradient".split(),
        "tuple[Tensor, ...]",
    ),
    **dict.fromkeys("meshgrid".split(), "tuple[Tensor, ...]"),
    **dict.fromkeys("var_mean".split(), "tuple[Tensor, Tensor]"),
    **dict.fromkeys(
        "native_batch_norm native_group_norm native_layer_norm svd_lowrank pca_lowrank".split(),
        "tuple[Tensor, Tensor, Tensor]",
    ),
    **{
        f: f"return_types.{f}"
        for f in (
            "cummax cummin aminmax sort topk kthvalue mode frexp histogram histogramdd geqrf triangular_solve lu_unpack"
        ).split()
    },
    **{
        f"linalg.{f}": f"return_types.linalg_{f}"
        for f in (
            "eig eigh lu_factor lu_factor_ex lu inv_ex solve_ex cholesky_ex slogdet lstsq qr svd ldl_factor ldl_factor_ex"
        ).split()
    },
    "qr": "return_types.qr",
    "svd": "return_types.svd",
    "slogdet": "return_types.linalg_slogdet",
    "lu": "tuple[Tensor, ...]",
    **{
        f"{f}_with_indices": "tuple[Tensor, Tensor]"
        for f in (
            "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d "
            "fractional_max_pool3d"
        ).split()
    },
    "native_channel_shuffle": "Tensor",
    "multi_head_attention_forward": "tuple[Tensor, Tensor | None]",
    "result_type": "dtype",
    "promote_types": "dtype",
    "get_default_dtype": "dtype",
    "get_default_device": "device",
    "broadcast_shapes": "Size",
    "cpu_level": "str",
    "typename": "str",
    "get_float32_matmul_precision": "str",
    "memory_stats": "dict[str, int]",
    "compile": "Any",
    "get_printoptions": "Any",
    "printoptions": "ContextManager[None]",
    "load": "Any",
    "load_file": "dict[str, Tensor]",
    "manual_seed": "Generator",
    "fork_rng": "ContextManager[None]",
    "grad": "tuple[Tensor, ...]",
    "get_rng_state": "Tensor",
    "calculate_gain": "float",
    "default_collate": "Any",
    "default_convert": "Any",
    "get_worker_info": "Any",
    "state_dict": "dict[str, Any]",
    "load_state_dict": "Any",
    "extra_repr": "str",
    "__format__": "str",
    "__bool__": "bool",
    "__float__": "float",
    "__complex__": "complex",
    "__contains__": "bool",
    "tolist": "Any",
    "item": "Any",
    "numpy": "Any",
    "register_hook": "Handle",
    "register_post_accumulate_grad_hook": "Handle",
    "untyped_storage": "Any",
    "shape": "Size",
    "dtype": "dtype",
    "device": "device",
    "layout": "layout",
    "grad_fn": "Node | None",
    "_base": "Tensor | None",
    "_version": "int",
    "_is_view": "bool",
    "is_set_to": "bool",
    **{
        f: "Callable[..., Any]"
        for f in (
            "vmap func.grad func.grad_and_value func.value_and_grad func.jacrev func.jacfwd func.hessian func.functionalize"
        ).split()
    },
    "dim_order": "tuple[int, ...]",
    "__iter__": "Iterator[Any]",
    "__dlpack__": "Any",
    "__dlpack_device__": "tuple[int, int]",
    "__array__": "Any",
    "__deepcopy__": "Tensor",
    "set_extra_state": "None",
    "get_extra_state": "Any",
    "get_lr": "list[float]",
    "batch_shape": "Size",
    "event_shape": "Size",
    "fuse_conv_bn_eval": "Module",
    "fuse_linear_bn_eval": "Module",
    "fuse_conv_bn_weights": "tuple[Parameter, Parameter]",
    "fuse_linear_bn_weights": "tuple[Parameter, Parameter]",
    "remove_spectral_norm": "Module",
    "remove_weight_norm": "Module",
    "spectral_norm": "Module",
    "weight_norm": "Module",
    "skip_init": "Module",
    "functional_call": "Any",
    "stack_module_state": "tuple[dict[str, Tensor], dict[str, Tensor]]",
    "swap_in_optimizer_params_and_state": "None",
    "jacobian": "Any",
    "hessian": "Any",
    "vjp": "Any",
    "jvp": "Any",
    "vhp": "Any",
    "hvp": "Any",
    "get_scale": "float",
    "scale": "Any",
    "checkpoint": "Any",
    "checkpoint_sequential": "Any",
    "pack_padded_sequence": "PackedSequence",
    "pack_sequence": "PackedSequence",
    "pad_packed_sequence": "tuple[Tensor, Tensor]",
    "unpad_sequence": "list[Tensor]",
    "unpack_sequence": "list[Tensor]",
    "kl_divergence": "Tensor",
}
