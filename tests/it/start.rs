//! Starts that cannot work say why: a taken port, a folder in use, settings that are wrong. `optidev config check` says it
//! before.

use std::process::Command;

use crate::support::server::Server;

/// The executable on its own, without the developer's settings; status and what it said.
fn optidev(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optidev"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OPTIDEV_") {
            command.env_remove(name);
        }
    }
    let output = command
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, text) = Server::builder()
        .set("server.listen", &address)
        .start_and_fail()
        .await;
    assert!(!status.success());
    assert!(text.contains(&address), "{text}");
    assert!(text.contains("[server] listen"), "{text}");
}

#[tokio::test]
async fn a_second_server_on_one_folder_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let (status, _, said) = server.cli(&["serve"], "").await;
    assert!(!status.success());
    let folder = server.data_dir().display().to_string();
    assert!(said.contains(&folder), "{said}");
    // It is the folder that is in use; that the port is too would be found later.
    assert!(!said.contains("[server] listen"), "{said}");
    server.anonymous().get("//readyz").await.expect(200);
    assert_eq!(server.children(" vault ").len(), 1);
}

#[test]
fn settings_are_checked_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optidev.toml");
    let name = file.to_str().unwrap();
    let data = folder.path().join("data");
    let check = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(&file, text).unwrap();
        let checked = optidev(&["config", "check", "--config", name], variables);
        if !checked.0 {
            // What is refused here stops a start, in the same words and before anything is made.
            let arguments = [
                "serve",
                "--config",
                name,
                "--data-dir",
                data.to_str().unwrap(),
            ];
            let started = optidev(&arguments, variables);
            assert_eq!(started, checked);
            assert!(!data.exists(), "a start that was refused made its folder");
        }
        checked
    };
    let (good, said) = check("[server]\nlisten = \"127.0.0.1:1\"\n", &[]);
    assert!(
        good && said.contains("can be used") && said.contains(name),
        "{said}"
    );

    for (text, parts) in [
        ("[server\nlisten = 1\n", ["optidev.toml", "line 1"]),
        (
            "[server]\nlisten = \"nowhere\"\n",
            ["server.listen", "nowhere"],
        ),
        (
            "[server]\nlisten_on = \"127.0.0.1:1\"\n",
            ["server.listen_on", "did you mean \"listen\""],
        ),
        ("[sever]\n", ["sever", "did you mean \"server\""]),
    ] {
        let (good, said) = check(text, &[]);
        assert!(!good, "{text}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
    // A variable that would be ignored, and so leave the default in force.
    let (good, said) = check("", &[("OPTIDEV_SERVER_LISTEN", "127.0.0.1:1")]);
    assert!(
        !good && said.contains("did you mean OPTIDEV_SERVER__LISTEN?"),
        "{said}"
    );
    let (good, said) = check(
        "",
        &[
            ("OPTIDEV_SERVER__LISTEN", "127.0.0.1:1"),
            ("OPTIDEV_OTHER", "1"),
        ],
    );
    assert!(good, "{said}");

    let absent = folder.path().join("absent.toml");
    let absent = absent.to_str().unwrap();
    let (good, said) = optidev(&["config", "check", "--config", absent], &[]);
    assert!(!good && said.contains(absent), "{said}");
}
