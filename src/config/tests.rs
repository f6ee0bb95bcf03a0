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
        ("[[orgs]]\nid = \"a b\"\nsenders = []\n", "orgs[0] (a b): ", "FILE, line 1"),
    ];
    for (toml, reason, place) in cases {
        let error = error(toml);
        assert!(error.contains(reason) && error.contains(place), "{toml}\n{error}");
        assert!(!error.contains("7c7c") && !error.contains("guessed"), "{error}");
    }
}

#[test]
fn an_error_says_what_is_allowed_with_an_example_and_the_right_line_and_none_in_the_words_of_a_library() {
    let org = |id: &str, number: u32, more: &str| {
        format!(
            "[[orgs]]\nid = \"{id}\"\n{more}[[orgs.senders]]\nphone_number_id = \"{number}\"\naccess_token = \"t\"\n\
            app_secret = \"s\"\nverify_token = \"v\"\n"
        )
    };
    let (a, key) = (org("a", 1, ""), "api_keys = [\"a-long-enough-key-a\"]\n");
    let same_key = format!("[admin]\nkey = \"a-long-enough-key-a\"\n{}", org("a", 1, key));
    let cases = [
        (
            "[http]\nlisten = \"localhost:8080\"\n".to_owned(),
            "http.listen: ",
            "like \"127.0.0.1:8080\" (address and port",
            2,
        ),
        (
            "[outbound]\nmax_resident = \"many\"\n".into(),
            "must be a whole number, not \"many\"",
            "write it like 1000 (",
            2,
        ),
        ("[outbound]\nmax_resident = -1\n".into(), "must be a whole number, not -1", "like 1000", 2),
        ("[outbound]\nenabled = \"yes\"\n".into(), "must be true or false, not \"yes\"", "like true", 2),
        ("[outbound]\nretry_delays = \"1m\"\n".into(), "must be a list in brackets", "like [\"0s\", \"1m\"", 2),
        ("[outbound]\nstale_after = 10\n".into(), "outbound.stale_after: ", "like \"10m\"", 2),
        ("[http]\nmax_body = \"big\"\n".into(), "http.max_body: ", "like \"1MiB\"", 2),
        ("[admin]\nkey = 123456789012\n".into(), "admin.key: must be text in quotes", "12 characters or more", 2),
        (org("a", 1, "name = 5\n"), "orgs[0].name: must be ", "write it like \"Acme\"", 3),
        (
            format!("{a}messages_per_second = \"x\"\n"),
            "orgs[0].senders[0].messages_per_second: must be a whole number",
            "like 80",
            8,
        ),
        (format!("{a}{}", org("a", 2, "")), "orgs[1] (a): its id is that of orgs[0]", "once", 8),
        (format!("{a}{}", org("b", 1, "")), "orgs[1] (b): phone_number_id 1 is declared twice", "orgs[0]", 8),
        (same_key, "orgs[0] (a): api_keys[0] is the admin key", "openssl", 3),
        (a.replace("verify_token = \"v\"\n", ""), "verify_token: is missing", "write it like", 3),
        (a.replace("\"t\"", "\"env;TOK\""), "access_token: looks like a misspelt env:NAME", "", 1),
        ("[whatsapp]\nbase_url = \"http://example.com\"\n".into(), "whatsapp.base_url", "in clear", 2),
        ("[whatsapp]\nbase_url = \"https://graph.facebook.com/v25.0\"\n".into(), "version v25.0", "api_version", 2),
        ("[whatsapp]\nproxy = \"proxy:3128\"\n".into(), "whatsapp.proxy", "http://proxy.example.com:3128", 2),
        ("[whatsapp]\nrequest_timeout = \"20m\"\n[outbound]\n".into(), "longer than whatsapp.request_timeout", "", 3),
    ];
    for (toml, reason, example, line) in cases {
        let error = error(&toml);
        assert!(error.contains(reason) && error.contains(example), "{toml}\n{error}");
        assert!(error.ends_with(&format!("FILE, line {line})")), "{toml}\n{error}");
        for word in ["usize", "u32", "struct", "expected a", "123456789012"] {
            assert!(!error.contains(word), "{word}: {error}");
        }
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
