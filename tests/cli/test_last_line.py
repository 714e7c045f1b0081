"""How the command ends: one line for what a user can mend, a traceback for a bug."""

import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from kerasae import cli


class ArrowException(Exception):  # noqa: N818
    __module__ = "pyarrow.lib"


class ResourceExhaustedError(Exception):
    __module__ = "tensorflow.python.framework.errors_impl"


@pytest.fixture
def broken(kerasae, monkeypatch):
    """Runs a command that raises an error from deep within."""

    def run(error, *arguments):
        def fail():
            def train():
                raise error

            return lambda args, **_: train()

        monkeypatch.setattr(cli, "_app", fail)
        return kerasae("train", *arguments)

    return run


FOREIGN = [
    MemoryError("Unable to allocate 7 TiB"),
    MemoryError(),
    OverflowError("int too large to convert to float"),
    zipfile.BadZipFile("File is not a zip file"),
    ArrowException("Capacity error"),
    EOFError("Compressed file ended"),
    ResourceExhaustedError("{{node}} No space left on device\n [Op:SaveV2]"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 40 bytes"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    RuntimeError("Can't decrement id ref count (file write failed: errno = 28)"),
    PermissionError(13, "Permission denied"),
    TypeError("x must hold real numbers. Received: object values"),
    ModuleNotFoundError("tf2onnx must be installed for ONNX export", name="tf2onnx"),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_errors_of_any_library_are_one_line(broken, error):
    """Cases 25, 52, 61 and 62 of faults.md."""
    status, out, err = broken(error)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) > len("error: x")
    assert "Traceback" not in out + err


BUGS = [
    KeyError("x"),
    AttributeError("'NoneType' object has no attribute 'x'"),
    IndexError("list index out of range"),
    AssertionError(),
    RuntimeError("dictionary changed size during iteration"),
    ModuleNotFoundError("No module named 'kerasae.x'", name="kerasae.x"),
]


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli, "_app", lambda: fail)
    monkeypatch.setattr(sys, "argv", ["kerasae", "info", "x"])
    with pytest.raises(type(error)) as raised:
        cli.main()
    assert raised.value is error


def test_traceback_shows_where_any_error_comes_from(kerasae):
    for arguments in (("--traceback", "info", "nowhere"), ("info", "nowhere", "--traceback")):
        status, _, err = kerasae(*arguments)
        assert status == 2
        assert err.startswith("Traceback")
        assert "_keras_file" in err
        assert err.splitlines()[-1].startswith("error: the model must be a .keras file")


@pytest.mark.parametrize("hidden", ["999999999999", "1" * 400])
def test_widths_beyond_memory_are_refused_before_work_begins(mistake, tmp_path, hidden):
    """Case 62 of faults.md."""
    err = mistake("train", "--epochs", 1, "--hidden", hidden)
    assert err.startswith("error: hidden must give a model that fits into the memory of ")
    assert len(err) < 300
    assert not list(tmp_path.iterdir())


def started(folder, *arguments):
    command = [sys.executable, "-c", "from kerasae.cli import main; main()", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


TRAIN = ("train", "digits", "--hidden", "4", "--name", "m", "--epochs")
TUNE = ("tune", "search", "digits", "--set", "layout=4,6", "--name", "s", "--epochs")


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cleans_up_and_training_goes_on(kerasae, tmp_path, number):
    """Cases 26 and 60 of faults.md."""
    command = started(tmp_path, *TRAIN, "3000")
    backup = tmp_path / "saved_models" / ".m.backup" / "backup.npz"
    wait_for(backup.exists)
    command.send_signal(number)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 128 + number
    assert err == "error: interrupted\n"
    assert sorted(path.name for path in backup.parent.iterdir()) == ["backup.npz", "options.json"]
    assert "epochs was 3000, is now 5" in kerasae(*TRAIN, "5", "--resume")[2]
    assert kerasae(*TRAIN, "1")[0] == 0  # anew
    assert not backup.parent.exists()


@pytest.mark.tensorflow
def test_a_sweep_that_gets_sigterm_is_interrupted(tmp_path):
    """Case 60 of faults.md."""
    command = started(tmp_path, *TUNE, "3000")
    wait_for((tmp_path / "sweeps/s/trial_0000/trial.json").exists)
    command.terminate()
    _, err = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGTERM
    lines = [line for line in err.splitlines() if not line.startswith("warning:")]
    assert lines == ["error: interrupted"]
    assert not list(tmp_path.rglob(".*"))


def test_a_signal_that_a_library_hides_is_still_an_interrupt(kerasae, monkeypatch):
    def hide(**_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt as error:
            raise ImportError("numpy failed") from error

    monkeypatch.setattr(cli, "_app", lambda: hide)
    assert kerasae("info", "x") == (128 + signal.SIGTERM, "", "error: interrupted\n")
