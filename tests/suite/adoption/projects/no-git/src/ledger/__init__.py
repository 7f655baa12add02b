import os

import psycopg


def connect():
    return psycopg.connect(os.environ["LEDGER_URL"])


def set_up(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS entries (account text, cents bigint)")


def balance(connection, account):
    row = connection.execute(
        "SELECT coalesce(sum(cents), 0) FROM entries WHERE account = %s", [account]
    ).fetchone()
    return int(row[0])
