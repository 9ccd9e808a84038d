"""Neural network modules: PyTorch's `torch.nn`.

Layers are grouped by family in the files of this folder, each loaded when one of its names is used:
`import dlgrad.nn` itself loads none of them.
"""

from __future__ import annotations

import importlib

# file -> the names in it
_FILES = {
    "module": "Module",
    "parameter": "Parameter Buffer UninitializedParameter UninitializedBuffer",
    "containers": "Container Sequential ModuleList ModuleDict ParameterList ParameterDict",
    "linear": "Identity Linear Bilinear LazyLinear",
    "conv": """Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d
        LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d""",
    "pooling": """MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d AvgPool1d
        AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d
        AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d
        AdaptiveAvgPool3d""",
    "normalization": """LayerNorm RMSNorm GroupNorm LocalResponseNorm CrossMapLRN2d BatchNorm1d
        BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d
        LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyInstanceNorm1d LazyInstanceNorm2d
        LazyInstanceNorm3d""",
    "activation": """Threshold ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish
        ELU CELU SELU GLU GELU Hardshrink LeakyReLU LogSigmoid Softplus Softshrink PReLU Softsign
        Tanhshrink Softmin Softmax Softmax2d LogSoftmax""",
    "dropout": "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout",
    "sparse": "Embedding EmbeddingBag",
    "vision": """Flatten Unflatten CircularPad1d CircularPad2d CircularPad3d ConstantPad1d
        ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
        ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d Upsample UpsamplingNearest2d
        UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle Fold Unfold PairwiseDistance
        CosineSimilarity""",
    "loss": """L1Loss NLLLoss NLLLoss2d PoissonNLLLoss GaussianNLLLoss KLDivLoss MSELoss BCELoss
        BCEWithLogitsLoss HingeEmbeddingLoss MultiLabelMarginLoss SmoothL1Loss HuberLoss
        SoftMarginLoss CrossEntropyLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss
        MarginRankingLoss MultiMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss CTCLoss
        LinearCrossEntropyLoss""",
    "rnn": "RNNBase RNN LSTM GRU RNNCellBase RNNCell LSTMCell GRUCell",
    "transformer": """MultiheadAttention Transformer TransformerEncoder TransformerDecoder
        TransformerEncoderLayer TransformerDecoderLayer""",
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "parallel": "DataParallel",
    "factory": "factory_kwargs LinearCrossEntropyOptions",
}
_WHERE = {name: file for file, names in _FILES.items() for name in names.split()}
# `rnn` is left out: the package nn.utils.rnn is what people mean by that name.
_SUBMODULES = frozenset(
    """attention common_types functional grad init utils modules parallel parameter""".split()
)

__all__ = sorted(_WHERE)


def __getattr__(name):
    file = _WHERE.get(name)
    if file is not None:
        value = getattr(importlib.import_module("." + file, __name__), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'dlgrad.nn' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_WHERE, *_SUBMODULES})
