"""The comparison with PyTorch. Without PyTorch nothing here is collected, unless
DLGRAD_REQUIRE_TORCH=1 says that it must be there."""

import importlib.util
import os

collect_ignore_glob = []
if importlib.util.find_spec("torch") is None:
    if os.environ.get("DLGRAD_REQUIRE_TORCH", "") not in ("", "0"):
        raise ImportError("DLGRAD_REQUIRE_TORCH is set, but PyTorch is not installed")
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    torch.set_num_threads(1)
