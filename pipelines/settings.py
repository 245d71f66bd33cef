"""The only reader of the environment: where things lie, which protocol is in force, and the limits."""

import os
import secrets
import sys
from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE = Path(__file__).parent
PROJECT = PACKAGE.parent


class Settings(BaseSettings):
    """Everything that may differ between machines; each field is `ERTE_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="ERTE_", frozen=True)

    home: Path = Field(Path("var"), description="Folder under which all data lies.")
    catalogue: str = Field("", description="DuckLake catalogue: empty = SQLite file; or a libpq string.")
    protocol: str = Field("order-704", description="Folder of dated protocols in force (pipelines/risk).")
    secret: str = Field("", description="Secret of the child key; empty = file home/secret, made once (0600).")
    children_per_pmpc: int = Field(60_000, description="Norm of LAW343 Art. 8(3); the sector concept says 50000.")
    small_count: int = Field(7, description="Published counts of 1..small_count are hidden below the nation.")
    rounding: int = Field(5, description="Other published counts below the nation are rounded to this.")
    least_denominator: int = Field(30, description="No published rate on a smaller denominator.")
    kept_releases: int = Field(7, description="Published files kept beside the newest.")
    threads: int = Field(0, description="DuckDB threads; 0 = all cores.")
    memory_limit: str = Field("2GB", description="DuckDB memory limit.")
    largest_file_mb: int = Field(8_192, description="A larger file is refused (file_too_large).")
    largest_unpacked_mb: int = Field(2_048, description="A packed file (xlsx, gz) that unpacks to more is refused.")
    longest_line_mb: int = Field(16, description="A file with a longer line, message or resource is refused.")
    most_columns: int = Field(1_000, description="A table of more columns is refused (file_too_wide).")
    most_sheet_rows: int = Field(2_000_000, description="A sheet of more rows is refused.")
    most_blank_mb: int = Field(256, description="A sheet whose far apart cells make the reader hold more blank ones is refused.")
    deepest_json: int = Field(64, description="A resource nested deeper is refused.")
    refused_processing: str = Field("T", description="HL7 v2 messages of these MSH-11 are refused: T training, D debugging.")
    most_people: int = Field(3_000_000, description="A FHIR file that refers to more persons and places is refused.")

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def staging(self) -> Path:
        return self.home / "staging"

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    @property
    def published(self) -> Path:
        return self.home / "warehouse"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def reference(self) -> Path:
        return self.home / "reference"

    @property
    def airflow(self) -> Path:
        return self.home / "airflow"

    def airflow_env(self) -> dict[str, str]:
        """The environment of an Airflow child process: this home, our DAGs, no examples, nothing reported home."""
        folder = self.airflow.absolute()
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "ERTE_HOME": str(self.home.absolute()),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
            "AIRFLOW__CORE__PARALLELISM": str(max(2, os.cpu_count() or 2)),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    @cached_property
    def key(self) -> bytes:
        """The secret of the child key as bytes; made with mode 0600 where none is given."""
        return (self.secret or keep_secret(self.home / "secret")).encode()


def keep_secret(path: Path) -> str:
    """The secret in `path`, generated on first use, readable by its owner only; two first runs at once agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    if not path.exists():
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
