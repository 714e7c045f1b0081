import subprocess
import sys
from pathlib import Path

import pytest

from kerasae.atomic import PARTIAL, remove_partials, write_file, write_folder, write_text


def test_a_write_that_stops_midway_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "state.json"
    assert write_file(path, lambda beside: beside.write_text("old")) == path

    def write(beside):
        assert beside.suffix == ".json"
        beside.write_text('{"ne')
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_file(path, write)
    assert path.read_text() == "old"
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "state.json"

    def write(beside):
        write_file(path, lambda other: other.write_text("first"))
        beside.write_text("second")

    write_file(path, write)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("made_by", ["touch", "mkdir"])
def test_what_another_writer_removes_before_it_is_locked_is_made_anew(
    made_by, monkeypatch, tmp_path
):
    made, make = [], getattr(Path, made_by)

    def make_and_lose(path, *args, **kwargs):
        make(path, *args, **kwargs)
        if path.name.startswith(PARTIAL):
            made.append(path)
            if len(made) == 1:
                remove_partials(tmp_path)

    monkeypatch.setattr(Path, made_by, make_and_lose)
    if made_by == "touch":
        write_file(tmp_path / "one", lambda beside: beside.write_text("whole"))
    else:
        write_folder(tmp_path, ["one"], lambda beside: (beside / "whole").write_text("whole"))
    assert len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_folder_that_stops_midway_never_appears(tmp_path):
    def write(beside):
        (beside / "part").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path, ["1"], write)
    assert not list(tmp_path.iterdir())
    write_folder(tmp_path, ["1"], lambda beside: (beside / "whole").touch())
    with pytest.raises(FileExistsError, match="must be new"):
        write_folder(tmp_path, ["1"], lambda beside: (beside / "other").touch())
    assert [one.name for one in (tmp_path / "1").iterdir()] == ["whole"]


def test_a_folder_takes_the_first_name_that_is_free_at_its_end(tmp_path):
    def write(beside):
        (beside / "second").touch()
        write_folder(tmp_path, ["1", "2"], lambda other: (other / "first").touch())

    assert write_folder(tmp_path, ["1", "2"], write) == tmp_path / "2"
    assert (tmp_path / "1" / "first").exists()
    assert (tmp_path / "2" / "second").exists()
    assert len(list(tmp_path.iterdir())) == 2


KILLED = """
import os, signal, sys, time
from kerasae.atomic import write_file, write_folder
from pathlib import Path
def stop(partial):
    print(partial, flush=True)
    time.sleep(60)
if sys.argv[2] == "file":
    write_file(Path(sys.argv[1]) / "state.json", stop)
write_folder(sys.argv[1], ["1"], stop)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_dead_writer_left_is_removed_and_what_a_living_one_writes_is_not(kind, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        partial = Path(process.stdout.readline().strip())
        write_text(tmp_path / "other.txt", "written meanwhile")
        assert partial.exists()
        process.kill()
    assert partial.exists()
    write_text(tmp_path / "other.txt", "written afterwards")
    assert [one.name for one in tmp_path.iterdir()] == ["other.txt"]
