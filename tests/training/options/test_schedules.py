import pytest

from smsr_plugin.training.options.schedules import epoch_of, sparsity_weight, tau


@pytest.mark.parametrize(
    ("current_iter", "expected"),
    [(1, 1.0), (100_001, 0.8), (250_001, 0.5), (300_001, 0.4), (1_000_000, 0.4)],
)
def test_tau_falls_linearly_to_its_floor(current_iter, expected):
    assert tau(current_iter, 1000) == pytest.approx(expected, abs=1e-12)


def test_tau_min_of_one_is_constant():
    assert {tau(i, 10, tau_min=1) for i in (1, 77, 100_000)} == {1.0}


@pytest.mark.parametrize(
    ("current_iter", "expected"),
    [(1, 0.0), (25_001, 0.05), (50_001, 0.1), (900_000, 0.1)],
)
def test_sparsity_weight_warms_up_over_50_epochs(current_iter, expected):
    assert sparsity_weight(current_iter, 1000, 0.1) == pytest.approx(expected, abs=1e-12)


def test_no_warmup_means_full_weight_at_once():
    assert sparsity_weight(1, 1000, 0.1, warmup_epochs=0) == 0.1


def test_epochs_count_completed_iterations():
    assert epoch_of(1, 4) == 0
    assert epoch_of(5, 4) == 1


@pytest.mark.parametrize("current_iter", [0, -1])
def test_iterations_start_at_one(current_iter):
    with pytest.raises(ValueError, match="at least 1"):
        tau(current_iter, 1000)


@pytest.mark.parametrize("options", [{"tau_min": 0}, {"tau_min": 1.5}, {"tau_epochs": 0}])
def test_tau_refuses_values_out_of_range(options):
    with pytest.raises(ValueError, match="tau_min"):
        tau(1, 1000, **options)


@pytest.mark.parametrize(("weight", "warmup"), [(-0.1, 1), (0.1, -1)])
def test_sparsity_weight_refuses_negative_values(weight, warmup):
    with pytest.raises(ValueError, match="negative"):
        sparsity_weight(1, 1000, weight, warmup_epochs=warmup)
