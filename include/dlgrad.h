/* The C ABI of dlgrad's kernel library. Made from zig/abi.zig by `zig build abi`: do not edit.
   The operands and parameters of each row are described on top of zig/ops/<family>.zig. */
#ifndef DLGRAD_H
#define DLGRAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A prepared kernel call: everything but its addresses. */
typedef struct dlgrad_plan dlgrad_plan;

enum dlgrad_dtype {
    DLGRAD_BOOL = 0,
    DLGRAD_UINT8 = 1,
    DLGRAD_INT8 = 2,
    DLGRAD_INT16 = 3,
    DLGRAD_INT32 = 4,
    DLGRAD_INT64 = 5,
    DLGRAD_FLOAT16 = 6,
    DLGRAD_BFLOAT16 = 7,
    DLGRAD_FLOAT32 = 8,
    DLGRAD_FLOAT64 = 9,
};

enum dlgrad_status {
    DLGRAD_STATUS_OK = 0,
    DLGRAD_STATUS_OUT_OF_MEMORY = 1,
    DLGRAD_STATUS_INDEX_OUT_OF_RANGE = 2,
    DLGRAD_STATUS_UNSUPPORTED = 3,
    DLGRAD_STATUS_SINGULAR = 4,
    DLGRAD_STATUS_INVALID_VALUE = 5,
};

/* Kernel families, and the rows (operations) of each. */
enum dlgrad_family {
    DLGRAD_FAMILY_UNARY = 0,
    DLGRAD_FAMILY_BINARY = 1,
    DLGRAD_FAMILY_CAST = 2,
    DLGRAD_FAMILY_FILL = 3,
    DLGRAD_FAMILY_MATMUL = 4,
    DLGRAD_FAMILY_INDEX = 5,
    DLGRAD_FAMILY_RANDOM = 6,
    DLGRAD_FAMILY_REDUCE = 7,
    DLGRAD_FAMILY_SOFTMAX = 8,
    DLGRAD_FAMILY_SCAN = 9,
    DLGRAD_FAMILY_OPTIM = 10,
    DLGRAD_FAMILY_NORM = 11,
    DLGRAD_FAMILY_TERNARY = 12,
    DLGRAD_FAMILY_GATHER = 13,
    DLGRAD_FAMILY_SCATTER = 14,
    DLGRAD_FAMILY_SORT = 15,
    DLGRAD_FAMILY_ATTENTION = 16,
    DLGRAD_FAMILY_CONV = 17,
    DLGRAD_FAMILY_POOL = 18,
    DLGRAD_FAMILY_LOSS = 19,
    DLGRAD_FAMILY_LINALG = 20,
    DLGRAD_FAMILY_FFT = 21,
    DLGRAD_FAMILY_CEILINGS = 22,
    DLGRAD_FAMILY_RNN = 23,
    DLGRAD_FAMILY_RESAMPLE = 24,
    DLGRAD_FAMILY_DISTANCE = 25,
    DLGRAD_FAMILY_COMPLEX = 26,
    DLGRAD_FAMILY_CTC = 27,
    DLGRAD_FAMILY_SPECIAL = 28,
    DLGRAD_FAMILY_SEARCH = 29,
};

enum dlgrad_unary {
    DLGRAD_UNARY_POSITIVE = 0,
    DLGRAD_UNARY_NEG = 1,
    DLGRAD_UNARY_ABS = 2,
    DLGRAD_UNARY_SIGN = 3,
    DLGRAD_UNARY_SQUARE = 4,
    DLGRAD_UNARY_RELU = 5,
    DLGRAD_UNARY_CLAMP = 6,
    DLGRAD_UNARY_CLAMP_MIN = 7,
    DLGRAD_UNARY_CLAMP_MAX = 8,
    DLGRAD_UNARY_THRESHOLD = 9,
    DLGRAD_UNARY_BITWISE_NOT = 10,
    DLGRAD_UNARY_LOGICAL_NOT = 11,
    DLGRAD_UNARY_ISNAN = 12,
    DLGRAD_UNARY_ISINF = 13,
    DLGRAD_UNARY_ISFINITE = 14,
    DLGRAD_UNARY_ISPOSINF = 15,
    DLGRAD_UNARY_ISNEGINF = 16,
    DLGRAD_UNARY_SIGNBIT = 17,
    DLGRAD_UNARY_SQRT = 18,
    DLGRAD_UNARY_RSQRT = 19,
    DLGRAD_UNARY_RECIPROCAL = 20,
    DLGRAD_UNARY_FLOOR = 21,
    DLGRAD_UNARY_CEIL = 22,
    DLGRAD_UNARY_TRUNC = 23,
    DLGRAD_UNARY_ROUND = 24,
    DLGRAD_UNARY_FRAC = 25,
    DLGRAD_UNARY_ROUND_DECIMALS = 26,
    DLGRAD_UNARY_NAN_TO_NUM = 27,
    DLGRAD_UNARY_MANTISSA = 28,
    DLGRAD_UNARY_EXPONENT = 29,
    DLGRAD_UNARY_SOFTSIGN = 30,
    DLGRAD_UNARY_RELU6 = 31,
    DLGRAD_UNARY_HARDSWISH = 32,
    DLGRAD_UNARY_HARDSIGMOID = 33,
    DLGRAD_UNARY_LEAKY_RELU = 34,
    DLGRAD_UNARY_SOFTSHRINK = 35,
    DLGRAD_UNARY_HARDSHRINK = 36,
    DLGRAD_UNARY_EXP = 37,
    DLGRAD_UNARY_EXP2 = 38,
    DLGRAD_UNARY_EXPM1 = 39,
    DLGRAD_UNARY_LOG = 40,
    DLGRAD_UNARY_LOG2 = 41,
    DLGRAD_UNARY_LOG10 = 42,
    DLGRAD_UNARY_LOG1P = 43,
    DLGRAD_UNARY_SIN = 44,
    DLGRAD_UNARY_COS = 45,
    DLGRAD_UNARY_TAN = 46,
    DLGRAD_UNARY_ASIN = 47,
    DLGRAD_UNARY_ACOS = 48,
    DLGRAD_UNARY_ATAN = 49,
    DLGRAD_UNARY_SINH = 50,
    DLGRAD_UNARY_COSH = 51,
    DLGRAD_UNARY_TANH = 52,
    DLGRAD_UNARY_ASINH = 53,
    DLGRAD_UNARY_ACOSH = 54,
    DLGRAD_UNARY_ATANH = 55,
    DLGRAD_UNARY_ERF = 56,
    DLGRAD_UNARY_ERFC = 57,
    DLGRAD_UNARY_ERFINV = 58,
    DLGRAD_UNARY_LGAMMA = 59,
    DLGRAD_UNARY_DIGAMMA = 60,
    DLGRAD_UNARY_I0 = 61,
    DLGRAD_UNARY_I0E = 62,
    DLGRAD_UNARY_TRIGAMMA = 63,
    DLGRAD_UNARY_NDTR = 64,
    DLGRAD_UNARY_SINC = 65,
    DLGRAD_UNARY_ENTR = 66,
    DLGRAD_UNARY_SIGMOID = 67,
    DLGRAD_UNARY_LOG_SIGMOID = 68,
    DLGRAD_UNARY_SOFTPLUS = 69,
    DLGRAD_UNARY_GELU = 70,
    DLGRAD_UNARY_GELU_TANH = 71,
    DLGRAD_UNARY_SILU = 72,
    DLGRAD_UNARY_MISH = 73,
    DLGRAD_UNARY_TANHSHRINK = 74,
    DLGRAD_UNARY_ELU = 75,
    DLGRAD_UNARY_SELU = 76,
    DLGRAD_UNARY_LOGIT = 77,
};

enum dlgrad_binary {
    DLGRAD_BINARY_ADD = 0,
    DLGRAD_BINARY_SUB = 1,
    DLGRAD_BINARY_MUL = 2,
    DLGRAD_BINARY_MAXIMUM = 3,
    DLGRAD_BINARY_MINIMUM = 4,
    DLGRAD_BINARY_FMAX = 5,
    DLGRAD_BINARY_FMIN = 6,
    DLGRAD_BINARY_HEAVISIDE = 7,
    DLGRAD_BINARY_FLOOR_DIVIDE = 8,
    DLGRAD_BINARY_TRUNC_DIVIDE = 9,
    DLGRAD_BINARY_REMAINDER = 10,
    DLGRAD_BINARY_FMOD = 11,
    DLGRAD_BINARY_POW = 12,
    DLGRAD_BINARY_ADD_SCALED = 13,
    DLGRAD_BINARY_MUL_SCALED = 14,
    DLGRAD_BINARY_DIV_SCALED = 15,
    DLGRAD_BINARY_DIV = 16,
    DLGRAD_BINARY_COPYSIGN = 17,
    DLGRAD_BINARY_NEXTAFTER = 18,
    DLGRAD_BINARY_ATAN2 = 19,
    DLGRAD_BINARY_HYPOT = 20,
    DLGRAD_BINARY_LOGADDEXP = 21,
    DLGRAD_BINARY_LOGADDEXP2 = 22,
    DLGRAD_BINARY_XLOGY = 23,
    DLGRAD_BINARY_XLOG1PY = 24,
    DLGRAD_BINARY_BITWISE_AND = 25,
    DLGRAD_BINARY_BITWISE_OR = 26,
    DLGRAD_BINARY_BITWISE_XOR = 27,
    DLGRAD_BINARY_BITWISE_LEFT_SHIFT = 28,
    DLGRAD_BINARY_BITWISE_RIGHT_SHIFT = 29,
    DLGRAD_BINARY_GCD = 30,
    DLGRAD_BINARY_LCM = 31,
    DLGRAD_BINARY_EQ = 32,
    DLGRAD_BINARY_NE = 33,
    DLGRAD_BINARY_LT = 34,
    DLGRAD_BINARY_LE = 35,
    DLGRAD_BINARY_GT = 36,
    DLGRAD_BINARY_GE = 37,
    DLGRAD_BINARY_LOGICAL_AND = 38,
    DLGRAD_BINARY_LOGICAL_OR = 39,
    DLGRAD_BINARY_LOGICAL_XOR = 40,
    DLGRAD_BINARY_PRELU = 41,
    DLGRAD_BINARY_PRELU_BACKWARD_WEIGHT = 42,
    DLGRAD_BINARY_GLU = 43,
    DLGRAD_BINARY_SOFTSIGN_BACKWARD = 44,
    DLGRAD_BINARY_SIGMOID_BACKWARD = 45,
    DLGRAD_BINARY_TANH_BACKWARD = 46,
    DLGRAD_BINARY_RELU_BACKWARD = 47,
    DLGRAD_BINARY_THRESHOLD_BACKWARD = 48,
    DLGRAD_BINARY_ELU_BACKWARD_RESULT = 49,
    DLGRAD_BINARY_LEAKY_RELU_BACKWARD = 50,
    DLGRAD_BINARY_HARDSWISH_BACKWARD = 51,
    DLGRAD_BINARY_HARDSIGMOID_BACKWARD = 52,
    DLGRAD_BINARY_HARDTANH_BACKWARD = 53,
    DLGRAD_BINARY_CLAMP_BACKWARD = 54,
    DLGRAD_BINARY_SHRINK_BACKWARD = 55,
    DLGRAD_BINARY_GELU_BACKWARD = 56,
    DLGRAD_BINARY_GELU_TANH_BACKWARD = 57,
    DLGRAD_BINARY_SILU_BACKWARD = 58,
    DLGRAD_BINARY_MISH_BACKWARD = 59,
    DLGRAD_BINARY_LOG_SIGMOID_BACKWARD = 60,
    DLGRAD_BINARY_SOFTPLUS_BACKWARD = 61,
    DLGRAD_BINARY_ELU_BACKWARD = 62,
};

enum dlgrad_cast {
    DLGRAD_CAST_COPY = 0,
    DLGRAD_CAST_JOIN = 1,
};

enum dlgrad_fill {
    DLGRAD_FILL_FILL = 0,
    DLGRAD_FILL_ARANGE = 1,
    DLGRAD_FILL_LINSPACE = 2,
    DLGRAD_FILL_EYE = 3,
    DLGRAD_FILL_TRIL = 4,
    DLGRAD_FILL_TRIU = 5,
    DLGRAD_FILL_TRI_INDICES = 6,
    DLGRAD_FILL_FLIP = 7,
    DLGRAD_FILL_ROLL = 8,
    DLGRAD_FILL_PAD = 9,
};

enum dlgrad_matmul {
    DLGRAD_MATMUL_MATMUL = 0,
    DLGRAD_MATMUL_MATMUL_BIAS = 1,
    DLGRAD_MATMUL_MATMUL_ACC = 2,
    DLGRAD_MATMUL_LINEAR = 3,
    DLGRAD_MATMUL_DOT = 4,
    DLGRAD_MATMUL_COMPLEX_MATMUL = 5,
    DLGRAD_MATMUL_INT_MM = 6,
    DLGRAD_MATMUL_MATMUL_INTO = 7,
};

enum dlgrad_index {
    DLGRAD_INDEX_INDEX = 0,
    DLGRAD_INDEX_INDEX_PUT = 1,
    DLGRAD_INDEX_EMBEDDING_BACKWARD = 2,
    DLGRAD_INDEX_BAG = 3,
};

enum dlgrad_random {
    DLGRAD_RANDOM_GENERATOR_SEED = 0,
    DLGRAD_RANDOM_GENERATOR_GET = 1,
    DLGRAD_RANDOM_GENERATOR_SET = 2,
    DLGRAD_RANDOM_UNIFORM = 3,
    DLGRAD_RANDOM_NORMAL = 4,
    DLGRAD_RANDOM_RANDOM_RANGE = 5,
    DLGRAD_RANDOM_RANDOM_FULL = 6,
    DLGRAD_RANDOM_RANDOM = 7,
    DLGRAD_RANDOM_RANDPERM = 8,
    DLGRAD_RANDOM_BERNOULLI = 9,
    DLGRAD_RANDOM_BERNOULLI_TENSOR = 10,
    DLGRAD_RANDOM_EXPONENTIAL = 11,
    DLGRAD_RANDOM_GEOMETRIC = 12,
    DLGRAD_RANDOM_CAUCHY = 13,
    DLGRAD_RANDOM_LOG_NORMAL = 14,
    DLGRAD_RANDOM_MULTINOMIAL = 15,
    DLGRAD_RANDOM_POISSON = 16,
    DLGRAD_RANDOM_STANDARD_GAMMA = 17,
    DLGRAD_RANDOM_BINOMIAL = 18,
    DLGRAD_RANDOM_DROPOUT = 19,
    DLGRAD_RANDOM_DROPOUT_BACKWARD = 20,
    DLGRAD_RANDOM_RAND = 21,
    DLGRAD_RANDOM_RANDN = 22,
};

enum dlgrad_reduce {
    DLGRAD_REDUCE_SUM = 0,
    DLGRAD_REDUCE_PROD = 1,
    DLGRAD_REDUCE_MEAN = 2,
    DLGRAD_REDUCE_MAX = 3,
    DLGRAD_REDUCE_MIN = 4,
    DLGRAD_REDUCE_ANY = 5,
    DLGRAD_REDUCE_ALL = 6,
    DLGRAD_REDUCE_COUNT_NONZERO = 7,
    DLGRAD_REDUCE_NANSUM = 8,
    DLGRAD_REDUCE_SUM_SQUARES = 9,
    DLGRAD_REDUCE_NORM0 = 10,
    DLGRAD_REDUCE_NORM1 = 11,
    DLGRAD_REDUCE_NORM2 = 12,
    DLGRAD_REDUCE_NORM_INF = 13,
    DLGRAD_REDUCE_NORM_NEG_INF = 14,
    DLGRAD_REDUCE_NORM_P = 15,
    DLGRAD_REDUCE_VAR = 16,
    DLGRAD_REDUCE_STD = 17,
    DLGRAD_REDUCE_VAR_MEAN = 18,
    DLGRAD_REDUCE_STD_MEAN = 19,
    DLGRAD_REDUCE_LOGSUMEXP = 20,
    DLGRAD_REDUCE_MAX_DIM = 21,
    DLGRAD_REDUCE_MIN_DIM = 22,
    DLGRAD_REDUCE_ARGMAX = 23,
    DLGRAD_REDUCE_ARGMIN = 24,
};

enum dlgrad_softmax {
    DLGRAD_SOFTMAX_SOFTMAX = 0,
    DLGRAD_SOFTMAX_LOG_SOFTMAX = 1,
    DLGRAD_SOFTMAX_SOFTMAX_BACKWARD = 2,
    DLGRAD_SOFTMAX_LOG_SOFTMAX_BACKWARD = 3,
};

enum dlgrad_scan {
    DLGRAD_SCAN_CUMSUM = 0,
    DLGRAD_SCAN_CUMPROD = 1,
    DLGRAD_SCAN_LOGCUMSUMEXP = 2,
    DLGRAD_SCAN_CUMMAX = 3,
    DLGRAD_SCAN_CUMMIN = 4,
    DLGRAD_SCAN_PROD_COMPLEX = 5,
};

enum dlgrad_optim {
    DLGRAD_OPTIM_SGD = 0,
    DLGRAD_OPTIM_ADAM = 1,
    DLGRAD_OPTIM_RMSPROP = 2,
    DLGRAD_OPTIM_ADAGRAD = 3,
    DLGRAD_OPTIM_ADADELTA = 4,
    DLGRAD_OPTIM_ADAMAX = 5,
    DLGRAD_OPTIM_NADAM = 6,
    DLGRAD_OPTIM_RADAM = 7,
    DLGRAD_OPTIM_RPROP = 8,
    DLGRAD_OPTIM_ASGD = 9,
    DLGRAD_OPTIM_LERP = 10,
    DLGRAD_OPTIM_SCALE = 11,
    DLGRAD_OPTIM_CLAMP = 12,
    DLGRAD_OPTIM_NORM = 13,
};

enum dlgrad_norm {
    DLGRAD_NORM_LAYER_NORM = 0,
    DLGRAD_NORM_LAYER_NORM_BACKWARD = 1,
    DLGRAD_NORM_RMS_NORM = 2,
    DLGRAD_NORM_RMS_NORM_BACKWARD = 3,
    DLGRAD_NORM_BATCH_NORM = 4,
    DLGRAD_NORM_BATCH_NORM_EVAL = 5,
    DLGRAD_NORM_BATCH_NORM_BACKWARD = 6,
    DLGRAD_NORM_BATCH_NORM_EVAL_BACKWARD = 7,
    DLGRAD_NORM_GROUP_NORM = 8,
    DLGRAD_NORM_GROUP_NORM_BACKWARD = 9,
};

enum dlgrad_ternary {
    DLGRAD_TERNARY_WHERE = 0,
    DLGRAD_TERNARY_ADDCMUL = 1,
    DLGRAD_TERNARY_ADDCDIV = 2,
    DLGRAD_TERNARY_MUL_ADD = 3,
    DLGRAD_TERNARY_MUL3 = 4,
    DLGRAD_TERNARY_DIV_SLOPE = 5,
    DLGRAD_TERNARY_MAXIMUM_BACKWARD = 6,
    DLGRAD_TERNARY_PRELU_BACKWARD = 7,
    DLGRAD_TERNARY_GLU_BACKWARD = 8,
    DLGRAD_TERNARY_LERP = 9,
    DLGRAD_TERNARY_CLAMP_TENSOR = 10,
    DLGRAD_TERNARY_CLAMP_MASK = 11,
};

enum dlgrad_gather {
    DLGRAD_GATHER_GATHER = 0,
    DLGRAD_GATHER_COUNT_NONZERO = 1,
    DLGRAD_GATHER_NONZERO = 2,
    DLGRAD_GATHER_MASKED_SELECT = 3,
    DLGRAD_GATHER_REPEAT_INTERLEAVE = 4,
};

enum dlgrad_scatter {
    DLGRAD_SCATTER_SCATTER = 0,
    DLGRAD_SCATTER_SCATTER_ADD = 1,
    DLGRAD_SCATTER_SCATTER_REDUCE = 2,
    DLGRAD_SCATTER_SCATTER_VALUE = 3,
    DLGRAD_SCATTER_MASKED_SCATTER = 4,
};

enum dlgrad_sort {
    DLGRAD_SORT_SORT = 0,
    DLGRAD_SORT_TOPK = 1,
    DLGRAD_SORT_KTHVALUE = 2,
    DLGRAD_SORT_MEDIAN = 3,
    DLGRAD_SORT_MODE = 4,
    DLGRAD_SORT_RUN_COUNT = 5,
    DLGRAD_SORT_RUNS = 6,
    DLGRAD_SORT_DISTINCT = 7,
};

enum dlgrad_attention {
    DLGRAD_ATTENTION_ATTENTION = 0,
    DLGRAD_ATTENTION_ATTENTION_BACKWARD = 1,
};

enum dlgrad_conv {
    DLGRAD_CONV_CONV = 0,
    DLGRAD_CONV_CONV_GRAD_INPUT = 1,
    DLGRAD_CONV_CONV_GRAD_WEIGHT = 2,
};

enum dlgrad_pool {
    DLGRAD_POOL_MAX_POOL = 0,
    DLGRAD_POOL_MAX_POOL_BACKWARD = 1,
    DLGRAD_POOL_MAX_UNPOOL = 2,
    DLGRAD_POOL_AVG_POOL = 3,
    DLGRAD_POOL_AVG_POOL_BACKWARD = 4,
    DLGRAD_POOL_ADAPTIVE_AVG_POOL = 5,
    DLGRAD_POOL_ADAPTIVE_AVG_POOL_BACKWARD = 6,
    DLGRAD_POOL_ADAPTIVE_MAX_POOL = 7,
    DLGRAD_POOL_FRACTIONAL_MAX_POOL = 8,
};

enum dlgrad_loss {
    DLGRAD_LOSS_CROSS_ENTROPY = 0,
    DLGRAD_LOSS_CROSS_ENTROPY_BACKWARD = 1,
    DLGRAD_LOSS_NLL_LOSS = 2,
    DLGRAD_LOSS_NLL_LOSS_BACKWARD = 3,
    DLGRAD_LOSS_MSE_LOSS = 4,
    DLGRAD_LOSS_MSE_LOSS_BACKWARD = 5,
    DLGRAD_LOSS_L1_LOSS = 6,
    DLGRAD_LOSS_L1_LOSS_BACKWARD = 7,
    DLGRAD_LOSS_BCE_LOSS = 8,
    DLGRAD_LOSS_BCE_LOSS_BACKWARD = 9,
    DLGRAD_LOSS_BCE_WITH_LOGITS_LOSS = 10,
    DLGRAD_LOSS_BCE_WITH_LOGITS_LOSS_BACKWARD = 11,
    DLGRAD_LOSS_SMOOTH_L1_LOSS = 12,
    DLGRAD_LOSS_SMOOTH_L1_LOSS_BACKWARD = 13,
    DLGRAD_LOSS_HUBER_LOSS = 14,
    DLGRAD_LOSS_HUBER_LOSS_BACKWARD = 15,
};

enum dlgrad_linalg {
    DLGRAD_LINALG_LU = 0,
    DLGRAD_LINALG_LU_SOLVE = 1,
    DLGRAD_LINALG_SOLVE = 2,
    DLGRAD_LINALG_DET = 3,
    DLGRAD_LINALG_SLOGDET = 4,
    DLGRAD_LINALG_CHOLESKY = 5,
    DLGRAD_LINALG_CHOLESKY_SOLVE = 6,
    DLGRAD_LINALG_TRIANGLE = 7,
    DLGRAD_LINALG_GEQRF = 8,
    DLGRAD_LINALG_REFLECT = 9,
    DLGRAD_LINALG_QR = 10,
    DLGRAD_LINALG_LSTSQ = 11,
    DLGRAD_LINALG_EIGH = 12,
    DLGRAD_LINALG_SVD = 13,
    DLGRAD_LINALG_EIG = 14,
    DLGRAD_LINALG_LDL = 15,
    DLGRAD_LINALG_LDL_SOLVE = 16,
    DLGRAD_LINALG_LU_UNPACK = 17,
};

enum dlgrad_fft {
    DLGRAD_FFT_FFT = 0,
    DLGRAD_FFT_RFFT = 1,
    DLGRAD_FFT_IRFFT = 2,
};

enum dlgrad_ceilings {
    DLGRAD_CEILINGS_FMA = 0,
    DLGRAD_CEILINGS_COPY = 1,
    DLGRAD_CEILINGS_TRIAD = 2,
    DLGRAD_CEILINGS_READ = 3,
};

enum dlgrad_rnn {
    DLGRAD_RNN_LAYER = 0,
    DLGRAD_RNN_LAYER_BACKWARD = 1,
};

enum dlgrad_resample {
    DLGRAD_RESAMPLE_RESAMPLE = 0,
    DLGRAD_RESAMPLE_RESAMPLE_BACKWARD = 1,
    DLGRAD_RESAMPLE_GRID_SAMPLE = 2,
    DLGRAD_RESAMPLE_GRID_SAMPLE_BACKWARD = 3,
    DLGRAD_RESAMPLE_GRID_SAMPLE_BACKWARD_GRID = 4,
    DLGRAD_RESAMPLE_GRID_SAMPLE_BACKWARD_BOTH = 5,
    DLGRAD_RESAMPLE_UNFOLD = 6,
    DLGRAD_RESAMPLE_FOLD = 7,
    DLGRAD_RESAMPLE_PAD_BACKWARD = 8,
};

enum dlgrad_distance {
    DLGRAD_DISTANCE_CDIST = 0,
    DLGRAD_DISTANCE_PDIST = 1,
    DLGRAD_DISTANCE_CROSS = 2,
    DLGRAD_DISTANCE_PDIST_BACKWARD = 3,
    DLGRAD_DISTANCE_KRON = 4,
    DLGRAD_DISTANCE_HISTOGRAM = 5,
    DLGRAD_DISTANCE_CDIST_BACKWARD = 6,
    DLGRAD_DISTANCE_MULTILABEL_MARGIN = 7,
    DLGRAD_DISTANCE_MULTILABEL_MARGIN_BACKWARD = 8,
};

enum dlgrad_complex {
    DLGRAD_COMPLEX_CONJ = 0,
    DLGRAD_COMPLEX_SQUARE = 1,
    DLGRAD_COMPLEX_CUBE = 2,
    DLGRAD_COMPLEX_RECIPROCAL = 3,
    DLGRAD_COMPLEX_EXP = 4,
    DLGRAD_COMPLEX_LOG = 5,
    DLGRAD_COMPLEX_SQRT = 6,
    DLGRAD_COMPLEX_ABS = 7,
    DLGRAD_COMPLEX_ANGLE = 8,
    DLGRAD_COMPLEX_MUL = 9,
    DLGRAD_COMPLEX_MUL_CONJ = 10,
    DLGRAD_COMPLEX_DIV = 11,
    DLGRAD_COMPLEX_DIV_CONJ = 12,
    DLGRAD_COMPLEX_EQ = 13,
    DLGRAD_COMPLEX_NE = 14,
    DLGRAD_COMPLEX_ABS_BACKWARD = 15,
    DLGRAD_COMPLEX_MAKE = 16,
    DLGRAD_COMPLEX_POLAR = 17,
};

enum dlgrad_ctc {
    DLGRAD_CTC_CTC = 0,
    DLGRAD_CTC_CTC_BACKWARD = 1,
};

enum dlgrad_special {
    DLGRAD_SPECIAL_BESSEL_J0 = 0,
    DLGRAD_SPECIAL_BESSEL_J1 = 1,
    DLGRAD_SPECIAL_BESSEL_Y0 = 2,
    DLGRAD_SPECIAL_BESSEL_Y1 = 3,
    DLGRAD_SPECIAL_I1 = 4,
    DLGRAD_SPECIAL_I1E = 5,
    DLGRAD_SPECIAL_MODIFIED_BESSEL_K0 = 6,
    DLGRAD_SPECIAL_MODIFIED_BESSEL_K1 = 7,
    DLGRAD_SPECIAL_SCALED_MODIFIED_BESSEL_K0 = 8,
    DLGRAD_SPECIAL_SCALED_MODIFIED_BESSEL_K1 = 9,
    DLGRAD_SPECIAL_SPHERICAL_BESSEL_J0 = 10,
    DLGRAD_SPECIAL_AIRY_AI = 11,
    DLGRAD_SPECIAL_ERFCX = 12,
    DLGRAD_SPECIAL_LOG_NDTR = 13,
    DLGRAD_SPECIAL_NDTRI = 14,
    DLGRAD_SPECIAL_POLYGAMMA = 15,
    DLGRAD_SPECIAL_ZETA = 16,
    DLGRAD_SPECIAL_GAMMAINC = 17,
    DLGRAD_SPECIAL_GAMMAINCC = 18,
    DLGRAD_SPECIAL_CHEBYSHEV_POLYNOMIAL_T = 19,
    DLGRAD_SPECIAL_CHEBYSHEV_POLYNOMIAL_U = 20,
    DLGRAD_SPECIAL_CHEBYSHEV_POLYNOMIAL_V = 21,
    DLGRAD_SPECIAL_CHEBYSHEV_POLYNOMIAL_W = 22,
    DLGRAD_SPECIAL_SHIFTED_CHEBYSHEV_POLYNOMIAL_T = 23,
    DLGRAD_SPECIAL_SHIFTED_CHEBYSHEV_POLYNOMIAL_U = 24,
    DLGRAD_SPECIAL_SHIFTED_CHEBYSHEV_POLYNOMIAL_V = 25,
    DLGRAD_SPECIAL_SHIFTED_CHEBYSHEV_POLYNOMIAL_W = 26,
    DLGRAD_SPECIAL_HERMITE_POLYNOMIAL_H = 27,
    DLGRAD_SPECIAL_HERMITE_POLYNOMIAL_HE = 28,
    DLGRAD_SPECIAL_LAGUERRE_POLYNOMIAL_L = 29,
    DLGRAD_SPECIAL_LEGENDRE_POLYNOMIAL_P = 30,
};

enum dlgrad_search {
    DLGRAD_SEARCH_SEARCHSORTED = 0,
    DLGRAD_SEARCH_ISIN = 1,
};

/* Chooses the kernels: a CPU level's name, or "" for the best one that this CPU can run.
   0, or -1 where there is no such level or this CPU cannot run it. */
int32_t dlgrad_init(const char *level);

/* The chosen CPU level. */
const char *dlgrad_level(void);

/* Which instructions beyond the CPU level kernels may use, as a mask: 1 for dot products of
   bfloat16, 2 for those of int8. Returns those that this CPU has among them. */
uint32_t dlgrad_allow_extensions(uint32_t mask);

/* Status and detail (four numbers) of the calling thread's last failure. */
void dlgrad_error(int64_t *out);

/* Sets how many threads a call may use (0: one for each CPU that this process may use);
   returns the number chosen. */
uint32_t dlgrad_set_threads(uint32_t n);
uint32_t dlgrad_threads(void);

/* Worker threads that are alive (none until a call was first large enough to be split). */
uint32_t dlgrad_workers(void);

/* For the child of a fork. */
void dlgrad_after_fork(void);

/* 64-byte aligned memory, not cleared; null when there is none. */
uint8_t *dlgrad_alloc(size_t bytes);
void dlgrad_free(uint8_t *ptr);

/* Live, peak and cached bytes; allocations; allocations that went to the system. */
void dlgrad_memory_stats(int64_t *out);
void dlgrad_memory_reset_peak(void);

/* Gives the memory that is kept for reuse back to the system. */
void dlgrad_memory_empty_cache(void);

/* Live bytes beyond which allocation fails (0: no limit). */
void dlgrad_memory_limit(size_t bytes);

/* Addresses of the six functions. */
void dlgrad_lend_init(const int64_t *functions);

/* The deleter of a DLPack structure that Python lent: drops the object whose address stands
   in the eight bytes before it. Not a Python callback, because a consumer may call it while
   an exception is on its way. */
void dlgrad_lend_release(uint8_t *structure);

/* The destructor of its capsule: releases the structure unless a consumer took it over
   (which renames the capsule to `used_...`). */
void dlgrad_lend_capsule_freed(uint8_t *capsule);

/* Gives the interpreter types and functions that run plans without cffi in between
   (python/open.zig). 0, or -1 where this interpreter is none that they fit. */
int32_t dlgrad_python_open(const int64_t *numbers, uint32_t n);

/* Makes a plan. `description`: operands, outputs, ints, floats (four counts); then for each
   operand its dtype, number of dimensions, sizes, strides (in elements); then the ints; then
   the floats (their bits). null: no kernel for it, or no memory. */
dlgrad_plan *dlgrad_plan_make(uint32_t family, uint32_t op, const int64_t *description, size_t length);

/* A plan that runs `inner` (which must outlive it) for each member of a batch of `ndim`
   dimensions. `numbers`: bytes of operand 0 for the whole batch; the batch's sizes; for each
   operand its steps in bytes, one for each dimension of the batch. null: no memory. */
dlgrad_plan *dlgrad_plan_repeat(const dlgrad_plan *inner, const int64_t *numbers, size_t ndim);
void dlgrad_plan_free(dlgrad_plan *plan);

/* Allocate operand 0 and compute it. */
uint8_t *dlgrad_run0(const dlgrad_plan *plan);
uint8_t *dlgrad_run1(const dlgrad_plan *plan, uint8_t *a);
uint8_t *dlgrad_run2(const dlgrad_plan *plan, uint8_t *a, uint8_t *b);
uint8_t *dlgrad_run3(const dlgrad_plan *plan, uint8_t *a, uint8_t *b, uint8_t *c);

/* With a scalar that may change from run to run: a floating one, an integer one. */
uint8_t *dlgrad_run1f(const dlgrad_plan *plan, uint8_t *a, double s);
uint8_t *dlgrad_run1i(const dlgrad_plan *plan, uint8_t *a, int64_t s);

/* Two operands and a scalar. */
uint8_t *dlgrad_run2f(const dlgrad_plan *plan, uint8_t *a, uint8_t *b, double s);
uint8_t *dlgrad_run2i(const dlgrad_plan *plan, uint8_t *a, uint8_t *b, int64_t s);

/* Without inputs, from two floating scalars, or two integers. */
uint8_t *dlgrad_run0f(const dlgrad_plan *plan, double s, double t);
uint8_t *dlgrad_run0i(const dlgrad_plan *plan, int64_t s, int64_t t);

/* Compute into memory that is there: up to four operands, all given. 0 or a status. */
int32_t dlgrad_into(const dlgrad_plan *plan, uint8_t *out, uint8_t *a, uint8_t *b, uint8_t *c);

/* The same for three operands and a scalar: a floating one, an integer one. */
int32_t dlgrad_intof(const dlgrad_plan *plan, uint8_t *out, uint8_t *a, uint8_t *b, double s);
int32_t dlgrad_intoi(const dlgrad_plan *plan, uint8_t *out, uint8_t *a, uint8_t *b, int64_t s);

/* Several results: memory for each operand k whose bit is set in `wanted`, its address in
   results[k], where the addresses of outputs that are there already are given. Inputs follow
   the plan's outputs; a floating scalar may change from run to run. 0 or a status. */
int32_t dlgrad_several(const dlgrad_plan *plan, uint8_t **results, uint32_t wanted, double s, uint8_t *a, uint8_t *b, uint8_t *c, uint8_t *d, uint8_t *e, uint8_t *f);

/* The general form: an address for each of the plan's operands, and the scalars. */
int32_t dlgrad_call(const dlgrad_plan *plan, uint8_t *const *operands, const int64_t *scalars, size_t n_scalars);

#ifdef __cplusplus
}
#endif

#endif
