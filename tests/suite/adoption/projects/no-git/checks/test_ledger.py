import ledger


def test_a_balance():
    with ledger.connect() as connection:
        ledger.set_up(connection)
        connection.execute("INSERT INTO entries VALUES ('rent', -90000), ('rent', 1)")
        assert ledger.balance(connection, "rent") == -89999
