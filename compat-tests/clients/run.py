#!/usr/bin/env python3
"""Installs the clients of clients.toml and runs them against a server; see README.md in the parent folder."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import catalogue
import document
import installing
import running


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every client, not only those that .ci/run runs")
    parser.add_argument("--newest", action="store_true", help="the newest version of each instead of the pinned one")
    parser.add_argument("--write", action="store_true", help="write what was found into docs/CLIENTS.md")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="clients at once")
    parser.add_argument("names", nargs="*", help="these clients only")
    arguments = parser.parse_args()
    if arguments.newest and arguments.write:
        parser.error("the table shows pinned versions: leave out --write or --newest")
    return arguments


def install_all(clients, until, newest, jobs):
    """Installs the clients and returns the installed version or the error by name."""
    installing.prepare_tools(clients)
    found = {}

    def one(client):
        try:
            return installing.install(client, until, newest)
        except installing.InstallError as error:
            return error

    with ThreadPoolExecutor(jobs) as pool:
        running_jobs = {pool.submit(one, client): client for client in clients}
        for job in as_completed(running_jobs):
            name, outcome = running_jobs[job].name, job.result()
            found[name] = outcome
            say(f"{name}: {'cannot be installed: ' if isinstance(outcome, Exception) else 'installed '}{outcome}")
    return found


def run_all(clients, versions, server, jobs):
    """Runs the clients and reports each as it ends."""
    results = []
    with ThreadPoolExecutor(jobs) as pool:
        pending = [pool.submit(run_one, client, versions[client.name], server) for client in clients]
        for job in as_completed(pending):
            result = job.result()
            results.append(result)
            report(result)
    return results


def run_one(client, version, server):
    if isinstance(version, Exception):
        return running.Result(client, broken=f"cannot be installed: {version}")
    return running.try_client(client, server, version)


def report(result):
    passed = [name for name, reason in result.checks.items() if not reason]
    say(f"{result.client.name} {result.version}: {', '.join(passed) or 'nothing'} passed, {result.seconds:.0f} s")
    for fault in result.faults():
        say(f"{result.client.name}: FAILED: {fault}")


def say(text):
    print(f"clients: {text}", flush=True)


def server_of_environment():
    missing = [name for name in ("BASE_URL", "ADMIN_KEY", "SERVER_LOG", "STAND_IN_URL") if not os.environ.get(name)]
    if missing:
        raise catalogue.CatalogueError(f"not set: {', '.join(missing)}; compat-tests/run clients sets them")
    take = os.environ.__getitem__
    return running.Server(take("BASE_URL"), take("ADMIN_KEY"), Path(take("SERVER_LOG")), take("STAND_IN_URL"))


def main():
    arguments = read_arguments()
    listed, until = catalogue.read_clients()
    chosen = catalogue.select(listed, arguments.names, arguments.all)
    clients = [client for client in chosen if not client.unavailable]
    server = server_of_environment()
    versions = install_all(clients, until, arguments.newest, arguments.jobs)
    results = run_all(clients, versions, server, arguments.jobs)
    if arguments.write:
        document.write_table(results, listed)
    for client in chosen:
        if client.unavailable:
            say(f"{client.name}: not run: {client.unavailable}")
    failed = sorted(result.client.name for result in results if result.faults())
    say(f"{len(results) - len(failed)} of {len(results)} as listed{': not ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (catalogue.CatalogueError, installing.InstallError) as error:
        sys.exit(f"clients: error: {error}")
