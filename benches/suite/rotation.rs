//! Rotating the master beside a server that serves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use optidev::vault::VaultClient;
use sea_orm::{ConnectionTrait, Database};

use super::report::{Better, Measurement};
use super::{Store, World};

const WORKSPACES: usize = 1_000;
const SECRETS: usize = 100_000;
const ROUNDS: usize = 5;
const BAR_MS: f64 = 2_000.0;
const SETTLED: Duration = Duration::from_millis(2_200);

/// `vault_rotate_master`: from the command's start to its end, with 1,000 workspaces and 100,000 secrets.
pub async fn measure() -> Vec<Measurement> {
    let world = World::start(Store::Sqlite).await;
    fill(&world).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        // A vault process that ends soon after its start is started again later and later: that is not what is measured.
        tokio::time::sleep(SETTLED).await;
        let begun = Instant::now();
        let mut command = world.server.command();
        command
            .args(["vault", "rotate-master", "--data-dir"])
            .arg(world.server.data_dir())
            .stdin(Stdio::null());
        let output = command.output().await.unwrap();
        rounds.push(begun.elapsed().as_secs_f64() * 1000.0);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains(&format!("{WORKSPACES} of {WORKSPACES}")),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let secrets = format!("{}/secrets", world.workspace);
    world.api.get(&secrets).await.expect(200);
    vec![Measurement::new("vault_rotate_master", "ms", Better::Lower, rounds).below(BAR_MS)]
}

/// Rows straight into the database, with keys that the vault has made.
async fn fill(world: &World) {
    let vault = VaultClient::new(world.server.data_dir().join("run/vault.sock"));
    let file = world.server.data_dir().join("database/optidev.db");
    let database = Database::connect(format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let hex = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("X'{digits}'")
    };
    let mut statements = String::from("BEGIN IMMEDIATE;");
    // The owner's own workspace is one of them.
    for number in 1..WORKSPACES as u128 {
        let id = (number + (7 << 100)).to_be_bytes();
        let key = vault.new_workspace_key(id).await.unwrap();
        statements += &format!(
            "INSERT INTO workspace (id, organization_id, name, wrapped_key, created_at_ms) \
             SELECT {}, organization_id, 'bench', {}, 0 FROM workspace LIMIT 1;",
            hex(&id),
            hex(&key.0)
        );
    }
    let each = SECRETS.div_ceil(WORKSPACES);
    statements += &format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {each}) \
         INSERT INTO secret (workspace_id, id, name, tier, description, version, created_by, created_at_ms, updated_by, updated_at_ms) \
         SELECT id, randomblob(16), 'BENCH_' || n, 'masked', '', 1, randomblob(16), 0, randomblob(16), 0 FROM workspace, number;\
         INSERT INTO secret_version (workspace_id, secret_id, version, tier, sealed, created_by, created_at_ms) \
         SELECT workspace_id, id, 1, tier, randomblob(120), created_by, 0 FROM secret;\
         COMMIT;"
    );
    database.execute_unprepared(&statements).await.unwrap();
    database.close().await.unwrap();
}
