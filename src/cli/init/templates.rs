//! Files for running the server, from the templates in `deploy`.

/// Unit of systemd.
pub(super) const SYSTEMD: &str = include_str!("../../../deploy/systemd/claude-switchboard.service");
/// Services of Docker Compose.
pub(super) const COMPOSE: &str = include_str!("../../../deploy/compose/compose.yaml");
const NGINX: &str = include_str!("../../../deploy/nginx/claude-switchboard.conf");
/// Name of the server in the template of nginx.
const TEMPLATE_DOMAIN: &str = "switchboard.example.com";

/// Returns the configuration of nginx for a server of the name `domain`.
pub(super) fn nginx(domain: &str) -> String {
    NGINX.replace(TEMPLATE_DOMAIN, domain)
}

/// Parses the name of a server.
pub(super) fn parse_domain(text: &str) -> Result<String, &'static str> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("is no name of a server, such as switchboard.example.com")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_is_in_each_place_of_the_template() {
        let file = nginx("ai.example.org");
        assert!(!file.contains(TEMPLATE_DOMAIN));
        assert_eq!(file.matches("server_name ai.example.org;").count(), 2);
        assert!(file.contains("/etc/letsencrypt/live/ai.example.org/privkey.pem"));
    }

    #[test]
    fn domain_cannot_leave_its_place() {
        assert_eq!(
            parse_domain("ai.example.org").as_deref(),
            Ok("ai.example.org")
        );
        for wrong in ["", "a..b", "a;b", "https://a.b", "a b", "*.a.b"] {
            assert!(parse_domain(wrong).is_err(), "{wrong}");
        }
    }
}
