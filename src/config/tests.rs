//! What a configuration may say, and how it is told that it may not.

use super::*;

fn error(toml: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let error = Config::load(Some(file.path())).unwrap_err().to_string();
    error.replace(&file.path().display().to_string(), "FILE")
}

#[test]
fn the_shipped_file_is_the_defaults_of_the_runtime() {
    let config = Config::defaults().unwrap();
    assert!(config.check().is_ok());
    let (shipped, built_in) = (config.settings(), Settings::default());
    assert_eq!(format!("{shipped:?}"), format!("{built_in:?}"));
}

#[test]
fn a_wrong_key_is_named_with_its_line_and_reason() {
    let literal = format!("[admin]\nmaster_key = \"{}\"\n", "7c".repeat(32));
    let cases = [
        ("[outbound]\nenabled = true\nretry_delay = []\n", "outbound.retry_delay: is not a known key", "FILE, line 3"),
        ("[outbound]\nstale_after = \"soon\"\n", "outbound.stale_after: ", "FILE, line 2"),
        ("\n[outbound]\nretry_delays = []\n", "outbound.retry_delays must have at least one delay", "FILE, line 3"),
        ("[whatsapp]\nmax_concurrent = 0\n", "whatsapp.max_concurrent must be at least 1", "FILE, line 2"),
        ("[http]\nlisten = \n", "FILE", "line 2"),
        ("[tls]\n", "tls: is not a known key", "FILE, line 1"),
        ("[http]\nidle_timeout = \"900y\"\n", "http.idle_timeout must be at most one year", "FILE, line 2"),
        ("[admin]\nkey = \"guessed\"\n", "admin.key must have at least 12", "FILE, line 2"),
        (&literal, "admin.master_key must say where the key is, env:NAME or file:PATH", "FILE, line 2"),
        ("[[orgs]]\nid = \"a b\"\nsenders = []\n", "orgs [0] (a b): ", "FILE, line 1"),
    ];
    for (toml, reason, place) in cases {
        let error = error(toml);
        assert!(error.contains(reason) && error.contains(place), "{toml}\n{error}");
        assert!(!error.contains("7c7c") && !error.contains("guessed"), "{error}");
    }
}

#[test]
fn a_syntax_error_does_not_show_the_line_that_it_is_in() {
    let error = error("[admin]\nkey = \"topsecretvalue\n");
    assert!(error.contains("line 2") && !error.contains("topsecret"), "{error}");
}

#[test]
fn secrets_are_masked_when_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let toml = "[admin]\nkey = \"hush-hush-hush-hush-hush-hush-hush\"\n[[orgs]]\nid = \"acme\"\napi_keys = [\"quiet-one\"]\n[[orgs.senders]]\n\
        phone_number_id = \"1\"\naccess_token = \"tok\"\napp_secret = \"sec\"\nverify_token = \"ver\"\n";
    std::fs::write(file.path(), toml).unwrap();
    let shown = Config::load(Some(file.path())).unwrap().to_masked_toml().unwrap();
    assert!(shown.contains("phone_number_id = \"1\"") && shown.contains("retry_delays"), "{shown}");
    for secret in ["hush", "quiet", "tok\"", "sec\"", "ver\""] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
