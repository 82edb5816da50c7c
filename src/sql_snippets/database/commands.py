"""Running the command of a project that makes its schema: Alembic, Flyway, dbmate and the like."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sql_snippets.database.recipes import Command
    from sql_snippets.servers.server import Server

SECONDS = 600.0
_SHOWN_LINES = 30


def run(command: Command, server: Server, dbname: str, role: str) -> str | None:
    """Run the command on a database; return None, or what went wrong as a sentence.

    It has the connection in its environment and no terminal.  When it takes too long, it is ended
    with all that it started.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env=environment(server, dbname, role),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as err:
            return (
                f"{command.where}: the command `{command.text}` cannot be run in {command.folder}: "
                f"{err.strerror}. Install the program, or name it by its path."
            )
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            happened = f"had not ended after {SECONDS:g} seconds and was stopped"
        else:
            happened = f"failed with exit status {status}"
            if status == 0:
                return None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return (
        f"{command.where}: the command `{command.text}`, which makes the schema, {happened}. "
        f"{_last_words(server.without_secrets(text))}"
    )


def environment(server: Server, dbname: str, role: str) -> dict[str, str]:
    """Return the environment with the connection in it, and nothing of another one."""
    parameters = {"sslmode": "disable", **dict(server.parameters)}
    if server.kind == "url" and "sslmode" not in dict(server.parameters):
        del parameters["sslmode"]
    login = quote(role, safe="")
    if server.password is not None:
        login += f":{quote(server.password, safe='')}"
    host, in_url = server.host, f"[{server.host}]" if ":" in server.host else server.host
    if host.startswith(("/", "@")):
        parameters["host"], in_url = host, ""
    options = f"?{urlencode(parameters)}" if parameters else ""
    url = f"postgresql://{login}@{in_url}:{server.port}/{quote(dbname, safe='')}{options}"
    ours: Mapping[str, str | None] = {
        "PGHOST": host,
        "PGPORT": str(server.port),
        "PGUSER": role,
        "PGDATABASE": dbname,
        "PGPASSWORD": server.password,
        **{_variable(name): value for name, value in parameters.items() if name != "host"},
        "DATABASE_URL": url,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**others, **{name: value for name, value in ours.items() if value is not None}}


def _variable(parameter: str) -> str:
    return "PG" + parameter.upper().replace("_", "")


def _last_words(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if not lines:
        return "It wrote nothing."
    shown = lines[-_SHOWN_LINES:]
    words = (
        "It wrote" if shown == lines else f"The last {len(shown)} of {len(lines)} lines it wrote"
    )
    return "\n".join([f"{words}:", *(f"  {line}" for line in shown)])
