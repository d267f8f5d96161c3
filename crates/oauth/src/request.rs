//! The request for a token; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use outbound::USER_AGENT;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::{Credentials, Options, TokenError};

/// Makes the request. It fails only if a setting cannot stand in a request.
pub(crate) fn request(options: &Options, secret: &str) -> Result<Request<Full<Bytes>>, TokenError> {
    let unusable = |what: &str| TokenError::transient(format!("the token endpoint cannot be asked: {what}"));
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &options.scope), ("audience", &options.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    form.extend_pairs(&options.parameters);
    let mut headers = HeaderMap::new();
    match options.credentials {
        Credentials::Basic => {
            let mut value = HeaderValue::try_from(format!("Basic {}", basic(&options.client_id, secret)))
                .map_err(|_| unusable("its credentials fit in no header"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Credentials::Form => {
            form.append_pair("client_id", &options.client_id).append_pair("client_secret", secret);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let mut request = Request::new(Full::from(form.finish()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        options.token_url.as_str().parse::<Uri>().map_err(|_| unusable("its address cannot be used"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Id and secret as they stand in the header. Both are form-encoded first, so that a colon in one is none between them
/// (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))
}

/// What must not appear in an error: an endpoint may echo what it got.
pub(crate) fn confidential(options: &Options, secret: &str) -> [String; 2] {
    [secret.to_owned(), basic(&options.client_id, secret)]
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use outbound::Secret;

    use super::*;

    async fn made(change: impl FnOnce(&mut Options)) -> (HeaderMap, String) {
        let mut options = Options::new("https://login.example.com/oauth/token", "an-id", Secret::fixed("")).unwrap();
        change(&mut options);
        let (head, body) = request(&options, "s:e+c").unwrap().into_parts();
        assert_eq!((head.method, head.uri.path()), (Method::POST, "/oauth/token"));
        assert_eq!(head.headers["content-type"], "application/x-www-form-urlencoded");
        let body = body.collect().await.unwrap().to_bytes();
        (head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn credentials_stand_in_the_header_or_in_the_form() {
        let (headers, body) = made(|_| {}).await;
        let expected = format!("Basic {}", STANDARD.encode("an-id:s%3Ae%2Bc"));
        assert_eq!(headers["authorization"], expected.as_str());
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(body, "grant_type=client_credentials");

        let (headers, body) = made(|options| {
            options.credentials = Credentials::Form;
            options.scope = Some("read write".into());
            options.audience = Some("https://crm.example.com".into());
            options.parameters = vec![("resource".into(), "a&b".into())];
        })
        .await;
        assert!(!headers.contains_key("authorization"));
        assert_eq!(
            body,
            "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fcrm.example.com&resource=a%26b\
             &client_id=an-id&client_secret=s%3Ae%2Bc"
        );
    }
}
