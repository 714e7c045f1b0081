"""What a user gets for bad input and faults: every case by its number, with the tests that hold it.

A test of the files beside this one names its cases: `test_case_28_and_53_...`. Longer truths and
whole kinds are held elsewhere, in the tests that are listed here.
"""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent

CASES = {
    1: ("NaN or infinite cells", "datasets/test_parquet.py::test_gaps_are_counted"),
    2: (
        "values whose square overflows float32",
        "test_validation.py::test_values_are_refused_from_where_their_square_overflows",
    ),
    3: ("empty files, 0 rows", "datasets/test_csv.py::test_faults_are_named_with_file_and_line"),
    4: (
        "few rows, a short batch",
        "models/test_autoencoder.py::test_few_rows_and_short_batches_are_all_used",
    ),
    5: (
        "a constant column",
        "layers/test_scaling.py::test_a_constant_column_becomes_0_and_its_drift_stays_bounded",
    ),
    6: ("a row of zeros", "models/test_autoencoder.py::test_a_row_of_zeros_has_a_finite_score"),
    7: ("types of numbers", "test_validation.py::test_rows_of_any_container_are_the_same"),
    8: (
        "cells that are no numbers",
        "models/test_autoencoder.py::test_cells_that_are_not_numbers_are_refused",
    ),
    9: (
        "wrong rank or width",
        "models/test_autoencoder.py::test_rows_that_cannot_be_used_are_refused",
    ),
    10: ("pickled objects", "datasets/test_datasets.py::test_nothing_is_unpickled"),
    11: (
        "damaged files",
        "datasets/test_damaged.py::test_every_flipped_bit_is_read_right_or_named",
    ),
    12: ("an npz without the key", "datasets/test_datasets.py::test_the_key_of_an_npz"),
    13: ("damaged IDX", "datasets/test_datasets.py::test_idx_faults"),
    14: (
        "CSV that is no table",
        "datasets/test_csv.py::test_a_first_line_of_values_never_becomes_the_header",
    ),
    15: (
        "columns when scoring",
        "models/test_column_names.py::test_another_order_gives_the_same_outputs",
    ),
    16: ("units and names", "cli/test_cli.py::test_a_mistake_is_one_line_with_status_2"),
    17: (
        "rho outside the activation",
        "layers/test_sparsity.py::test_impossible_arguments_are_refused",
    ),
    18: ("beta", "layers/test_sparsity.py::test_no_penalty_at_rho_and_none_at_all_without_beta"),
    19: ("counts and rates", "models/test_autoencoder.py::test_impossible_counts_are_refused"),
    20: ("the identity", "models/test_remedies.py::test_a_remedy_that_is_switched_off_is_none"),
    21: (
        "rates outside [0, 1]",
        "layers/test_corruption.py::test_rates_outside_0_1_are_refused",
    ),
    22: (
        "cross-entropy",
        "models/test_losses.py::test_a_cross_entropy_by_any_name_wants_values_from_0_to_1",
    ),
    23: (
        "NaN in training",
        "callbacks/test_stability_guard.py::test_a_rate_that_is_too_high_stops_fit_and_brings_the_epochs_first_weights_back",
    ),
    24: (
        "rho_hat at 0 or 1",
        "layers/test_sparsity.py::test_finite_and_pointing_to_rho_where_a_unit_is_always_off_or_on",
    ),
    25: (
        "a full disk",
        "callbacks/test_atomic_backup.py::test_a_full_disk_is_an_error_and_the_backup_of_before_is_whole",
    ),
    26: (
        "a killed training",
        "cli/test_resume.py::test_a_killed_training_goes_on_to_the_same_weights",
    ),
    27: ("a killed sweep", "tuning/test_oracle.py::test_killed_at_any_write_nothing_is_lost"),
    28: ("damaged trials", "tuning/test_oracle.py::test_damaged_files_are_recovered"),
    29: (
        "a failed trial",
        "tuning/test_sweep.py::test_rows_come_by_their_error_and_failures_last_with_their_cause",
    ),
    30: (
        "another search space",
        "tuning/test_sweep.py::test_a_sweep_that_exists_is_never_touched_by_another",
    ),
    31: ("a damaged .keras", "export/test_export.py::test_damaged_models_are_called_corrupt"),
    32: ("formats that run code", "export/test_export.py::test_models_that_run_code_are_refused"),
    33: (
        "a version that exists",
        "export/test_export.py::test_versions_count_on_and_are_never_overwritten",
    ),
    34: (
        "a killed export",
        "export/test_export.py::test_a_version_that_is_killed_midway_never_appears",
    ),
    35: ("bad requests", "serving/test_fuzz.py::test_random_requests_succeed_or_are_refused"),
    36: ("what is not there", "serving/test_limits.py::test_other_methods_and_paths"),
    37: ("a body over the limit", "serving/test_limits.py::test_a_body_over_the_limit_is_413"),
    38: (
        "SIGTERM of a server",
        "serving/test_process.py::test_a_signal_lets_requests_in_flight_end",
    ),
    39: ("frames", "models/test_column_names.py::test_two_columns_of_one_name_are_refused"),
    40: (
        "identifiers",
        "datasets/test_identifiers_in_files.py::test_what_numbers_or_names_the_rows_is_left_out",
    ),
    41: ("labelled datasets", "models/test_streams.py::test_labels_are_not_painted"),
    42: (
        "late NaN",
        "anomaly/test_not_finite.py::test_a_row_that_is_not_finite_is_an_anomaly_in_every_runtime",
    ),
    43: (
        "masked, sparse",
        "test_validation.py::test_what_is_not_rows_is_refused_by_name_in_every_method",
    ),
    44: (
        "times, coordinates",
        "layers/test_scaling.py::test_close_values_far_from_0_are_scaled_from_float64",
    ),
    45: ("overflow", "anomaly/test_not_finite.py::test_errors_of_large_rows_do_not_overflow"),
    46: (
        "runs at once",
        "tuning/test_sweep.py::test_a_second_command_on_one_sweep_is_refused_at_once",
    ),
    47: (
        "strays",
        "test_atomic.py::test_what_a_dead_writer_left_is_removed_and_what_a_living_one_writes_is_not",
    ),
    48: (
        "threads",
        "faults/test_faults_of_models.py::test_case_48_a_thread_uses_a_model_that_another_trains",
    ),
    49: ("changed weights", "models/test_state.py::test_a_calibration_ends_when_the_model_changes"),
    50: ("worse than the mean", "cli/test_resume.py::test_a_diverged_training_is_not_published"),
    51: ("hostile names", "cli/test_hostile_names.py::test_a_sweep_over_hostile_names"),
    52: (
        "bombs",
        "datasets/test_damaged.py::test_damaged_and_boastful_files_are_named_before_memory_is_taken",
    ),
    53: ("another form", "tuning/test_sweep.py::test_files_of_another_form_are_made_anew_or_named"),
    54: (
        "only failed trials",
        "tuning/test_sweep.py::test_trials_that_all_fail_end_the_command_with_a_line_each",
    ),
    55: (
        "half-sent requests",
        "serving/test_half_sent.py::test_a_half_sent_request_is_closed_at_the_deadline",
    ),
    56: (
        "a slow new version",
        "serving/test_new_versions.py::test_a_slow_version_holds_up_no_other",
    ),
    57: ("forms of CSV", "datasets/test_csv.py::test_files_of_other_programs_are_read"),
    58: (
        "metrics of any form",
        "serving/test_bodies.py::test_outputs_that_json_cannot_hold_are_refused_by_name",
    ),
    59: ("half precision", "models/test_distribution.py::test_half_precision_scales_its_loss"),
    60: ("SIGTERM", "cli/test_last_line.py::test_a_signal_cleans_up_and_training_goes_on"),
    61: (
        "a full disk",
        "cli/test_resume.py::test_a_backup_is_kept_for_what_a_second_try_may_not_meet",
    ),
    62: (
        "sizes beyond memory",
        "cli/test_last_line.py::test_widths_beyond_memory_are_refused_before_work_begins",
    ),
}
# Held elsewhere alone: these need processes of their own, a second of waiting, or a sweep.
ELSEWHERE = {26, 27, 29, 38, 56}


def names(path):
    """The tests of a file."""
    functions = (node for node in ast.parse(path.read_text()).body if hasattr(node, "args"))
    return {one.name for one in functions if one.name.startswith("test_")}


HERE_TESTED = {
    int(number)
    for path in HERE.glob("test_faults_of_*.py")
    for name in names(path)
    for number in re.findall(r"(?<=_)\d\d(?=_)", name.partition("case")[2])
}


@pytest.mark.parametrize("number", CASES, ids=lambda number: f"case {number}: {CASES[number][0]}")
def test_a_case_is_held(number):
    file, name = CASES[number][1].split("::")
    assert name in names(TESTS / file)
    assert (number in HERE_TESTED) is (number not in ELSEWHERE)


def test_every_case_has_its_number():
    assert list(CASES) == list(range(1, 63))
