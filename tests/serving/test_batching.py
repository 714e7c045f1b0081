import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kerasae.serving.batching import Batcher
from kerasae.serving.requests import RefusedError
from serving.client import predict
from serving.models import COLUMNS


class Recorder:
    """Adds one; keeps the shapes that it ran, and waits where `free` is cleared."""

    def __init__(self):
        self.shapes = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, signature, inputs):
        assert self.free.wait(20)
        self.shapes.append(inputs["x"].shape)
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": inputs["x"] + 1}


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make(recorder):
    made = []

    def make(**options):
        made.append(Batcher(recorder, **options))
        return made[-1]

    yield make
    recorder.free.set()
    for batcher in made:
        batcher.close()
        batcher.join(20)


def submit(batcher, *rows, batched=True, seconds=20):
    x = np.float32(rows).reshape(-1, 1)
    return batcher.submit("serving_default", {"x": x}, batched, seconds)


def test_requests_that_arrive_together_run_once_and_get_their_own_rows(make, recorder):
    # The wait ends when the rows of all five are there.
    batcher = make(batch_wait=60, batch_rows=15)
    futures = [submit(batcher, *range(i, 2 * i + 1)) for i in range(5)]
    for i, future in enumerate(futures):
        np.testing.assert_array_equal(future.result(20)["y"][:, 0], np.arange(i, 2 * i + 1) + 1)
    assert recorder.shapes == [(15, 1)]


def test_full_batches_do_not_wait(make, recorder):
    batcher = make(batch_wait=600, batch_rows=4)
    for future in [submit(batcher, 0, 1) for _ in range(4)]:
        future.result(20)
    assert recorder.shapes == [(4, 1), (4, 1)]
    submit(batcher, *range(9)).result(20)
    assert recorder.shapes[-1] == (9, 1)


def test_a_batch_that_is_not_full_waits_for_some_time_only(make, recorder):
    submit(make(batch_wait=0.05, batch_rows=4), 0, 1).result(20)
    assert recorder.shapes == [(2, 1)]


def test_unlike_requests_run_apart(make, recorder):
    batcher = make(batch_wait=0.05)
    futures = [
        submit(batcher, 1),
        batcher.submit("serving_default", {"x": np.zeros((1, 2))}, True, 20),
        batcher.submit("other", {"x": np.zeros((1, 1))}, True, 20),
        submit(batcher, 1, batched=False),
    ]
    for future in futures:
        future.result(20)
    assert len(recorder.shapes) == 4


def test_a_bad_request_harms_no_other(make):
    batcher = make(batch_wait=60, batch_rows=3)
    futures = [submit(batcher, value) for value in (1, -1, 2)]
    assert futures[0].result(20)["y"].tolist() == [[2]]
    assert futures[2].result(20)["y"].tolist() == [[3]]
    with pytest.raises(RefusedError, match="negative") as refused:
        futures[1].result(20)
    assert refused.value.code == "INTERNAL"


def test_the_queue_is_bounded_and_late_or_cancelled_requests_do_not_run(make, recorder, until):
    batcher = make(queue=2, batch_wait=0)
    recorder.free.clear()
    running = submit(batcher, 0)
    assert until(running.running)
    late, cancelled = submit(batcher, 1, seconds=0), submit(batcher, 2)
    cancelled.cancel()
    good = submit(batcher, 3)
    with pytest.raises(RefusedError) as refused:
        submit(batcher, 4)
    assert refused.value.code == "RESOURCE_EXHAUSTED"
    recorder.free.set()
    assert good.result(20)["y"].tolist() == [[4]]
    with pytest.raises(RefusedError) as refused:
        late.result(20)
    assert refused.value.code == "DEADLINE_EXCEEDED"
    assert recorder.shapes == [(1, 1), (1, 1)]


def test_closing_lets_the_queue_end(make, recorder):
    batcher = make(batch_wait=0)
    recorder.free.clear()
    futures = [submit(batcher, i) for i in range(5)]
    batcher.close()
    with pytest.raises(RefusedError, match="stopping"):
        submit(batcher, 9)
    recorder.free.set()
    assert [future.result(20)["y"].item() for future in futures] == [1, 2, 3, 4, 5]


def test_an_exported_model_gives_the_same_in_a_batch_as_alone(server, until):
    x = np.random.default_rng(2).uniform(size=(24, COLUMNS)).round(4)
    body = {"signature_name": "anomaly_score"}

    def send(row):
        return predict(server.url, "stacked", {**body, "inputs": [row.tolist()]})[1]["outputs"]

    alone = [send(row) for row in x]
    sizes, free = [], threading.Event()
    with server.store.lease("stacked") as loaded, ThreadPoolExecutor(24) as pool:
        batcher, run = loaded.batcher, loaded.batcher.run

        def held(name, inputs):
            sizes.append(len(inputs["rows"]))
            assert free.wait(60)
            return run(name, inputs)

        batcher.run = held
        try:
            together = pool.map(send, x)
            # While the first ones run, all the others come to wait for the second batch.
            until(lambda: sizes and sizes[0] + len(batcher._waiting) == 24)
        finally:
            free.set()
            together = list(together)
            batcher.run = run
    assert len(sizes) == 2
    assert sum(sizes) == 24
    for one, other in zip(alone, together, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
