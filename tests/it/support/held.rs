//! A change of the database that is made and not yet committed, for what happens in between.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};

use sea_orm::{ConnectionTrait, Database, DatabaseTransaction, TransactionTrait};

use super::postgres::Postgres;
use super::server::Server;

/// Whoever reads meanwhile sees the rows as they were; whoever wants to change or lock them waits.
pub enum Held {
    Embedded(DatabaseTransaction),
    Postgres(Child, ChildStdin),
}

/// Runs `statement` past every scope and policy, and keeps its transaction open.
pub async fn hold(server: &Server, statement: &str) -> Held {
    if server.on_postgres() {
        let database = Postgres::shared().database_of(server.data_dir());
        let mut psql = database
            .session()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = psql.stdin.take().unwrap();
        writeln!(input, "BEGIN; {statement}; SELECT 'held';").unwrap();
        let mut lines = BufReader::new(psql.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "held");
        return Held::Postgres(psql, input);
    }
    let address = format!(
        "sqlite://{}",
        server.data_dir().join("database/optidev.db").display()
    );
    let database = Database::connect(address).await.unwrap();
    let tx = database.begin().await.unwrap();
    tx.execute_unprepared(statement).await.unwrap();
    Held::Embedded(tx)
}

impl Held {
    pub async fn commit(self) {
        match self {
            Self::Embedded(tx) => tx.commit().await.unwrap(),
            Self::Postgres(mut psql, mut input) => {
                writeln!(input, "COMMIT;").unwrap();
                drop(input);
                assert!(psql.wait().unwrap().success());
            }
        }
    }
}
