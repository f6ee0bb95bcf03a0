//! Uploading, looking up, downloading and deleting files.

use serde_json::json;
use simulator::Settings;

use crate::support::{Answer, Rig, answer};

/// Uploads a file in a form as clients write it.
async fn upload(rig: &Rig, path: &str, fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Answer {
    let mut form = Vec::new();
    for (name, value) in fields {
        form.extend(format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    if let Some((media_type, content)) = file {
        let head = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n";
        form.extend(format!("{head}content-type: {media_type}\r\n\r\n").bytes());
        form.extend(content);
        form.extend(b"\r\n");
    }
    form.extend(b"--edge--\r\n");
    let request = rig.client.post(rig.url(path)).bearer_auth("t");
    answer(request.header("content-type", "multipart/form-data; boundary=edge").body(form)).await.unwrap()
}

#[tokio::test]
async fn a_file_is_uploaded_looked_up_downloaded_and_deleted() {
    let rig = Rig::new(Settings::default()).await;
    let fields = [("messaging_product", "whatsapp"), ("type", "image/png")];
    let id = upload(&rig, "/v25.0/1066/media", &fields, Some(("image/png", b"pixels"))).await.json()["id"].clone();
    let id = id.as_str().unwrap();
    let get = async |path: &str| answer(rig.client.get(path).bearer_auth("t")).await.unwrap();
    let told = get(&rig.url(&format!("/v25.0/{id}"))).await.json();
    // sha256sum of "pixels".
    let hash = "6ec9c2b0eb14010746c8bce8939303b382344b296206612eb8a907a37b2b2f37";
    assert_eq!(told["sha256"], hash);
    assert_eq!((&told["messaging_product"], &told["mime_type"]), (&json!("whatsapp"), &json!("image/png")));
    assert_eq!((&told["file_size"], &told["id"]), (&json!(6), &json!(id)));
    assert_eq!(get(&rig.url(&format!("/v25.0/{id}?phone_number_id=1066"))).await.status, 200);
    assert_eq!(get(&rig.url(&format!("/v25.0/{id}?phone_number_id=2077"))).await.code(), 100);
    let url = told["url"].as_str().unwrap();
    let file = get(url).await;
    assert_eq!((file.status, file.media_type.as_str(), file.text.as_str()), (200, "image/png", "pixels"));
    assert_eq!(answer(rig.client.get(url)).await.unwrap().status, 401, "the URL alone is not enough");
    assert_eq!(get(&format!("{url}0")).await.status, 404);
    let delete = async || answer(rig.client.delete(rig.url(&format!("/v25.0/{id}"))).bearer_auth("t")).await.unwrap();
    assert_eq!(delete().await.json(), json!({"success": true}));
    let gone = delete().await;
    assert_eq!((gone.status, gone.json()["error"]["error_subcode"].as_i64()), (400, Some(33)));
    assert_eq!(get(url).await.status, 404);
    assert_eq!(get(&rig.url(&format!("/v25.0/{id}"))).await.code(), 100);
    let gone = get(&rig.url(&format!("/v25.0/{id}?fields=url,id"))).await;
    assert_eq!((gone.status, gone.json()["error"]["error_subcode"].as_i64()), (400, Some(33)));
}

#[tokio::test]
async fn an_upload_that_meta_would_refuse_is_refused_with_the_reason() {
    let rig = Rig::new(Settings::default()).await;
    let (product, kind) = (("messaging_product", "whatsapp"), ("type", "image/png"));
    let png = Some(("image/png", b"pixels".as_slice()));
    for (fields, file, says) in [
        ([kind].as_slice(), png, "messaging_product is required"),
        (&[product, kind], None, "file is required"),
        (&[product, ("type", "text/html")], png, "Received file of type 'text/html'"),
        (&[product, kind], Some(("image/png", b"".as_slice())), "must not be empty"),
    ] {
        let refused = upload(&rig, "/v25.0/1066/media", fields, file).await;
        assert_eq!((refused.status, refused.code()), (400, 100));
        assert!(refused.text.contains(says), "{says}: {}", refused.text);
    }
    let large = vec![0; 5 * 1024 * 1024 + 1];
    let refused = upload(&rig, "/v25.0/1066/media", &[product, kind], Some(("image/png", &large))).await;
    assert!(refused.text.contains("at most 5242880 bytes"), "{}", refused.text);
    let json = rig.client.post(rig.url("/v25.0/1066/media")).bearer_auth("t").json(&json!({"file": "a.png"}));
    assert!(answer(json).await.unwrap().text.contains("multipart/form-data"));
}

#[tokio::test]
async fn the_type_is_that_of_the_file_if_the_form_has_none() {
    let rig = Rig::new(Settings::default()).await;
    let fields = [("messaging_product", "whatsapp"), ("type", "audio")];
    let sent = upload(&rig, "/1066/media", &fields, Some(("audio/ogg; codecs=opus", b"tone"))).await;
    let url = rig.url(&format!("/v25.0/{}", sent.json()["id"].as_str().unwrap()));
    let told = answer(rig.client.get(url).bearer_auth("t")).await.unwrap().json();
    assert_eq!(told["mime_type"], "audio/ogg; codecs=opus");
}
