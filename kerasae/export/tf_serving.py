"""Configuration files for TF Serving's own server: its lists, and a compose file."""

import os
import warnings
from pathlib import Path

from kerasae.atomic import write_text
from kerasae.export.versions import versions

BATCHING = """max_batch_size { value: 1024 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 4 }
"""
COMPOSE = """# docker compose up: the models beside this file under TF Serving, for this machine.
services:
  tensorflow-serving:
    image: tensorflow/serving:2.20.0
    ports:
      - "127.0.0.1:8500:8500" # gRPC
      - "127.0.0.1:8501:8501" # REST
    volumes:
      - .:/models:ro
    command:
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching=true
      - --batching_parameters_file=/models/batching.config
"""


def write_serving_files(root: str | os.PathLike[str]) -> Path:
    """Writes `models.config`, `batching.config` and `compose.yaml` beside the models.

    The first lists the models that there are and is written anew; the other two are written where
    they are missing, so that they can be changed.

    Args:
        root: Folder of the models, `saved_models`.

    Returns:
        Path of `models.config`.

    Warns:
        UserWarning: A name is not UTF-8, and its model left out.
    """
    from google.protobuf import text_format  # noqa: PLC0415
    from tensorflow_serving.config import model_server_config_pb2  # noqa: PLC0415

    root = Path(root)
    content = model_server_config_pb2.ModelServerConfig()
    for name in _names(root):
        content.model_config_list.config.add(
            name=name, base_path=f"/models/{name}", model_platform="tensorflow"
        )
    for file, text in {"batching.config": BATCHING, "compose.yaml": COMPOSE}.items():
        if not (root / file).exists():
            write_text(root / file, text)
    return write_text(root / "models.config", text_format.MessageToString(content, as_utf8=True))


def _names(root):
    """The models that TF Serving can load: those of other formats are left out."""
    for path in sorted(root.iterdir()):
        numbers = versions(path)
        if not any((path / str(number) / "saved_model.pb").exists() for number in numbers):
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError:
            warnings.warn(
                f"the model {path.name!r} is left out of models.config: its name is not UTF-8",
                UserWarning,
                stacklevel=2,
            )
        else:
            yield path.name
