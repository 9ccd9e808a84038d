"""What programs ask about GPUs, precision and other processes, and GradScaler."""

import pytest

import dlgrad


def test_there_is_no_gpu():
    assert not dlgrad.cuda.is_available() and dlgrad.cuda.device_count() == 0
    assert (
        not dlgrad.accelerator.is_available() and dlgrad.accelerator.current_accelerator() is None
    )
    assert not dlgrad.backends.mps.is_available() and not dlgrad.distributed.is_initialized()
    dlgrad.cuda.manual_seed_all(3)
    with pytest.raises(AssertionError, match="synchronize"):
        dlgrad.cuda.synchronize()
    for there in (dlgrad.ones(2), dlgrad.nn.Linear(2, 2)):
        with pytest.raises(AssertionError, match="CPU"):
            there.cuda()
    with pytest.raises(RuntimeError, match="one process"):
        dlgrad.distributed.init_process_group("nccl")


def test_settings_are_kept():
    import dlgrad.backends.cudnn as cudnn

    cudnn.benchmark = True
    assert dlgrad.backends.cudnn.benchmark
    dlgrad.set_float32_matmul_precision("high")
    assert dlgrad.get_float32_matmul_precision() == "high"
    dlgrad.set_float32_matmul_precision("highest")


def test_typed_constructors():
    assert dlgrad.LongTensor([1, 2]).dtype is dlgrad.int64 and dlgrad.FloatTensor(2, 3).shape == (
        2,
        3,
    )
    assert isinstance(dlgrad.ones(2), dlgrad.FloatTensor) and not isinstance(
        dlgrad.ones(2), dlgrad.LongTensor
    )
    assert dlgrad.ones(2).type(dlgrad.LongTensor).dtype is dlgrad.int64


def test_grad_scaler():
    p = dlgrad.nn.Parameter(dlgrad.ones(2))
    optimizer = dlgrad.optim.SGD([p], lr=0.5)
    scaler = dlgrad.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    scaler.scale(p.sum()).backward()
    assert p.grad.tolist() == [8, 8]
    scaler.unscale_(optimizer)
    assert p.grad.tolist() == [1, 1]
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.5, 0.5] and scaler.get_scale() == 16
    p.grad = dlgrad.tensor([1.0, float("inf")])
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.5, 0.5] and scaler.get_scale() == 8
    with pytest.warns(UserWarning, match="Disabling"):
        assert not dlgrad.GradScaler("cuda").is_enabled()


def test_autocast_says_that_it_does_nothing():
    with (
        pytest.warns(UserWarning, match="dtype of the inputs"),
        dlgrad.autocast("cpu", dtype=dlgrad.bfloat16),
    ):
        assert (dlgrad.ones(2, 2) @ dlgrad.ones(2, 2)).dtype is dlgrad.float32
    model = dlgrad.nn.Linear(2, 2)
    assert dlgrad.compile(model) is model


def test_variable():
    from dlgrad.autograd import Variable

    x = dlgrad.ones(2)
    v = Variable(x, requires_grad=True)
    assert v.requires_grad and isinstance(v, Variable) and v.data_ptr() == x.data_ptr()
    with pytest.raises(TypeError):
        Variable([1.0])
