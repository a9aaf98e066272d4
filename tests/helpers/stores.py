"""Data sets on stores of the loopback interface, for tests of what is behind URLs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fusionbench.core.io import shipped_folder
from fusionbench.data.recipes import Recipe, parse_recipe


def digits(name: str = "fusiondigits", shard_size: int = 500) -> Recipe:
    """FusionDigits in a few shards, without the expected id."""
    text = (shipped_folder("datasets_recipes") / f"{name}.toml").read_text().partition("[expect]")[0]
    recipe = parse_recipe(text.replace("shard_size = 1024", f"shard_size = {shard_size}").encode(), "small.toml")
    assert isinstance(recipe, Recipe)
    return recipe


@contextmanager
def s3_server() -> Iterator[tuple[str, str]]:
    """An S3-compatible server: its address, and the URL of a bucket. Credentials are in the environment meanwhile."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    try:
        bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=bucket)
        yield address, f"s3://{bucket}"
    finally:
        server.stop()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of the files of a data set."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
