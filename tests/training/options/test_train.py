import pytest

from smsr_plugin.training.options.train import TrainOptions


def test_only_the_keys_of_smsr_are_read():
    options = TrainOptions.from_train_section(
        {"iters_per_epoch": 10, "tau_min": 0.5, "total_iter": 7, "autocast": "bf16"}
    )
    assert options == TrainOptions(10, tau_min=0.5, autocast="bf16")


def test_schedules_follow_the_options():
    options = TrainOptions(2, tau_min=0.4, tau_epochs=10, sparsity_warmup_epochs=5)
    assert options.tau(1) == 1
    assert options.tau(11) == pytest.approx(0.5)
    assert options.tau(1000) == 0.4
    assert options.warmup(6) == pytest.approx(0.5)
    assert options.warmup(11) == 1


def test_iters_per_epoch_must_be_written_out():
    with pytest.raises(ValueError, match=r"train\.iters_per_epoch is missing"):
        TrainOptions.from_train_section({"total_iter": 10})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iters_per_epoch", 0),
        ("iters_per_epoch", 1.5),
        ("tau_min", "0.4"),
        ("tau_min", 0),
        ("tau_epochs", -1),
        ("sparsity_warmup_epochs", -1),
        ("autocast", "fp8"),
        ("channels_last", "yes"),
        ("accumulate", 0),
        ("accumulate", 2.0),
        ("accumulate", True),
        ("grad_clip", 0),
        ("grad_clip", float("nan")),
        ("grad_clip", float("inf")),
        ("grad_clip", "1"),
        ("grad_clip", True),
        ("skip_nonfinite", -1),
        ("skip_nonfinite", True),
    ],
)
def test_wrong_values_name_the_key(name, value):
    key = {"sparsity_warmup_epochs": "warmup_epochs"}.get(name, name)
    with pytest.raises(ValueError, match=key):
        TrainOptions.from_train_section({"iters_per_epoch": 10, name: value})
