import pytest

from smsr_plugin.training.options.train import TrainOptions


@pytest.mark.parametrize(
    ("current_iter", "expected"),
    [(1, 1.0), (100_001, 0.8), (250_001, 0.5), (300_001, 0.4), (1_000_000, 0.4)],
)
def test_tau_falls_linearly_to_its_floor(current_iter, expected):
    assert TrainOptions(1000).tau(current_iter) == pytest.approx(expected, abs=1e-12)


def test_tau_min_of_one_is_constant():
    assert {TrainOptions(10, tau_min=1).tau(i) for i in (1, 77, 100_000)} == {1.0}


@pytest.mark.parametrize(
    ("current_iter", "expected"),
    [(1, 0.0), (25_001, 0.5), (50_001, 1.0), (900_000, 1.0)],
)
def test_sparsity_weight_warms_up_over_50_epochs(current_iter, expected):
    assert TrainOptions(1000).warmup(current_iter) == pytest.approx(expected, abs=1e-12)


def test_no_warmup_means_full_weight_at_once():
    assert TrainOptions(1000, sparsity_warmup_epochs=0).warmup(1) == 1


def test_epochs_count_completed_iterations():
    assert TrainOptions(4).epochs(1) == 0
    assert TrainOptions(4).epochs(5) == 1


@pytest.mark.parametrize("current_iter", [0, -1])
def test_iterations_start_at_one(current_iter):
    for schedule in (TrainOptions(1000).tau, TrainOptions(1000).warmup):
        with pytest.raises(ValueError, match="count from 1"):
            schedule(current_iter)
