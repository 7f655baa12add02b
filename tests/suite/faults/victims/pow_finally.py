"""The same run in thirty lines of python-on-whales, with try and finally."""

from __future__ import annotations

import os
import sys
import time

from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException

docker = DockerClient(
    compose_files=["docker-compose.test.yml", os.environ["FAULTS_MORE"]],
    compose_env_files=[".env.test"],
    compose_profiles=["test"],
    compose_project_name=os.environ["FAULTS_PROJECT"],
)


def main() -> int:
    docker.compose.down(volumes=True, remove_orphans=True)
    docker.compose.build()
    try:
        docker.compose.up(["db"], detach=True)
        while docker.compose.ps(["db"])[0].state.health.status != "healthy":
            time.sleep(0.5)
        docker.compose.run("test-runner", remove=True, tty=False)
    except DockerException as error:
        return int(error.return_code)
    finally:
        docker.compose.down(volumes=True, remove_orphans=True)
    return 0


sys.exit(main())
