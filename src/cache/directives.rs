//! What a caller says about the cache.

/// What a request's `Cache-Control` asks for. Other directives have no effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-cache`: the answer is to be made anew, and may be kept.
    pub no_cache: bool,
    /// `no-store`: the answer is not to be kept. It may be one that is kept already.
    pub no_store: bool,
}

impl Directives {
    /// Reads the values of all `Cache-Control` headers of a request.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let names = values.into_iter().flat_map(|value| value.split(',')).map(str::trim);
        names.fold(Self::default(), |this, name| Self {
            no_cache: this.no_cache || name.eq_ignore_ascii_case("no-cache"),
            no_store: this.no_store || name.eq_ignore_ascii_case("no-store"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_among_others() {
        for (values, no_cache, no_store) in [
            (&[][..], false, false),
            (&[""], false, false),
            (&["no-cache"], true, false),
            (&["NO-Store"], false, true),
            (&["max-age=0,  no-cache , no-transform"], true, false),
            (&["no-store", "no-cache"], true, true),
            (&["no-cached", "x-no-store"], false, false),
        ] {
            let parsed = Directives::parse(values.iter().copied());
            assert_eq!(parsed, Directives { no_cache, no_store }, "{values:?}");
        }
    }
}
