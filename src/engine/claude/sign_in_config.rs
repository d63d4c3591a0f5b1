//! `[sign_ins]`: the sign-ins of a server that has several.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::command::is_passed;
use super::sign_in::SignIn;
use super::sign_in::SignInMethod;
use crate::runtime::setting::SettingRefusal;

/// Maximum length of a sign-in's name.
const MAX_NAME_LENGTH: usize = 32;
/// Maximum weight and place in the order.
const MAX_WEIGHT: u32 = 1000;

/// Sign-ins of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SignInsConfig {
    /// True if answers name their sign-in in the header `x-switchboard-sign-in`.
    pub header: bool,
    /// Ids of keys, and ids or names of projects, whose answers tell what is used of the plan in the header
    /// `x-switchboard-plan`; `*` for all.
    pub plan_header: Vec<String>,
    /// Sign-ins; empty for the one of `claude.sign_in`.
    pub list: Vec<SignInConfig>,
}

/// Configuration of one sign-in. Has no secret, but the name of a variable or a file with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConfig {
    /// Name in the admin API, metrics, logs and the ledger.
    pub name: String,
    /// Method by which the CLI signs in.
    pub kind: SignInMethod,
    /// Variable of the server's environment with the key or token; empty for that of the kind.
    #[serde(default)]
    pub variable: String,
    /// File with the key or token as its only line, in place of a variable.
    #[serde(default)]
    pub file: PathBuf,
    /// Further variables of its workers, each with the variable of the server's environment that
    /// has the value.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Ids of models, with `*` and `?`; empty for all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Ids of the keys that may use it.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Ids or names of the projects whose keys may use it; without keys and projects, all may.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Workers of this sign-in among those of the pool; by default an equal share.
    #[serde(default)]
    pub max_workers: Option<usize>,
    /// Share of conversations among sign-ins of the same place in the order.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Place in the order; a later one serves what the earlier ones cannot.
    #[serde(default = "default_weight")]
    pub order: u32,
}

fn default_weight() -> u32 {
    1
}

impl SignInsConfig {
    /// Checks the sign-ins of the list, which share `max_workers` workers, to which the variables of
    /// `pass_environment` are passed.
    ///
    /// # Errors
    /// Fails when a sign-in cannot work as it is written.
    pub fn check(
        &self,
        max_workers: usize,
        pass_environment: &[String],
    ) -> Result<(), SettingRefusal> {
        for (index, sign_in) in self.list.iter().enumerate() {
            sign_in.check()?;
            sign_in.check_variables(pass_environment)?;
            for other in &self.list[..index] {
                // The name is that of a folder, for which some systems ignore case.
                if other.name.eq_ignore_ascii_case(&sign_in.name) {
                    let advice = "give each sign-in a name of its own";
                    return Err(sign_in.refused("the name is there twice", advice));
                }
                if other.credentials() == sign_in.credentials() {
                    let reason = format!("it has the same credentials as `{}`", other.name);
                    let advice = "name another variable or file, or leave one of the two out";
                    return Err(sign_in.refused(&reason, advice));
                }
            }
        }
        let is_larger = |one: &SignInConfig| one.max_workers > Some(max_workers);
        // The first two bound the sum of the third.
        if self.list.len() > max_workers
            || self.list.iter().any(is_larger)
            || self.shares(max_workers).iter().sum::<usize>() > max_workers
        {
            return Err(SettingRefusal {
                key: "list",
                message: format!(
                    "the sign-ins need more workers than pool.max_workers, which is {max_workers}"
                ),
                hint: "raise pool.max_workers, or lower max_workers of the sign-ins; each needs at least one"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the place in the list of the sign-in for agents: the first in the order that is not
    /// bound to keys or projects, since agents of all keys get it. `None` if each is bound.
    pub fn place_for_agents(&self) -> Option<usize> {
        let places = self.list.iter().enumerate();
        let unbound = places.filter(|(_, one)| one.keys.is_empty() && one.projects.is_empty());
        let first = unbound.min_by_key(|(_, one)| one.order);
        first.map(|(place, _)| place)
    }

    /// Returns the number of workers of each sign-in, of `max_workers` in all. What the sign-ins
    /// with a number leave is shared equally by the others, each of which has at least one.
    pub fn shares(&self, max_workers: usize) -> Vec<usize> {
        let named: usize = self.list.iter().filter_map(|one| one.max_workers).sum();
        let others = self.list.iter().filter(|one| one.max_workers.is_none());
        let others = others.count().max(1);
        let left = max_workers.saturating_sub(named);
        let mut odd = left % others;
        let mut shares = Vec::with_capacity(self.list.len());
        for sign_in in &self.list {
            let share = sign_in.max_workers.unwrap_or_else(|| {
                let further = usize::from(odd > 0);
                odd -= further;
                (left / others + further).max(1)
            });
            shares.push(share);
        }
        shares
    }
}

impl SignInConfig {
    /// Returns the sign-in of the kind.
    pub fn sign_in(&self) -> SignIn {
        match self.kind {
            SignInMethod::OauthToken => SignIn::OauthToken,
            SignInMethod::Stored => SignIn::Stored,
            SignInMethod::Bedrock => SignIn::Bedrock,
            SignInMethod::Vertex => SignIn::Vertex,
            // Refused by the check of the settings.
            SignInMethod::Auto | SignInMethod::ApiKey => SignIn::ApiKey,
        }
    }

    fn check(&self) -> Result<(), SettingRefusal> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name = (1..=MAX_NAME_LENGTH).contains(&self.name.len());
        if !is_name || !self.name.bytes().all(is_plain) {
            let advice = "use 1 to 32 letters, digits, `_` and `-`";
            return Err(self.refused("the name is not allowed", advice));
        }
        if self.kind == SignInMethod::Auto {
            let advice = "set kind to api_key, oauth_token, stored, bedrock or vertex";
            return Err(self.refused("the kind must be named", advice));
        }
        let has_file = !self.file.as_os_str().is_empty();
        if has_file && !self.variable.is_empty() {
            let advice = "leave one of the two out";
            return Err(self.refused("it has a variable and a file", advice));
        }
        if self.sign_in().secret_variable().is_none() && (has_file || !self.variable.is_empty()) {
            let advice = "leave variable and file out, and name its variables in variables";
            return Err(self.refused("its kind has no key or token", advice));
        }
        if self.max_workers == Some(0) {
            let advice = "set max_workers to 1 or more, or leave the sign-in out";
            return Err(self.refused("it has no workers", advice));
        }
        let bounds = 1..=MAX_WEIGHT;
        if !bounds.contains(&self.weight) || !bounds.contains(&self.order) {
            let advice = "set weight and order to 1 to 1000";
            return Err(self.refused("the weight or the order is not allowed", advice));
        }
        Ok(())
    }

    /// Checks that what names variables are names, and that its workers get its variables.
    fn check_variables(&self, pass_environment: &[String]) -> Result<(), SettingRefusal> {
        let named = self.variables.iter().flat_map(|(name, from)| [name, from]);
        let mut named = named.chain(Some(&self.variable).filter(|name| !name.is_empty()));
        if !named.all(|name| is_variable_name(name)) {
            // It may be a secret that was written in the wrong place, so it is not shown.
            let advice = "write the name of the variable that has the secret, and not the secret; letters, digits and `_`";
            return Err(self.refused("a variable has no valid name", advice));
        }
        let is_lost = |name: &&String| !is_passed(self.sign_in(), pass_environment, name);
        match self.variables.keys().find(is_lost) {
            Some(name) => {
                let reason = format!("its workers do not get the variable {name}");
                let advice = "add the variable to claude.pass_environment, or leave it out";
                Err(self.refused(&reason, advice))
            }
            None => Ok(()),
        }
    }

    /// Returns what tells the credentials of two sign-ins apart.
    fn credentials(&self) -> (SignInMethod, &str, &PathBuf, &BTreeMap<String, String>) {
        let of_kind = self.sign_in().secret_variable().unwrap_or_default();
        let variable = match self.variable.as_str() {
            "" if self.file.as_os_str().is_empty() => of_kind,
            variable => variable,
        };
        (self.kind, variable, &self.file, &self.variables)
    }

    fn refused(&self, reason: &str, advice: &str) -> SettingRefusal {
        SettingRefusal {
            key: "list",
            message: format!("`{}`: {reason}", self.name),
            hint: advice.to_owned(),
        }
    }
}

/// True if `name` can be the name of a variable.
fn is_variable_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_plain) && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(name: &str, variable: &str) -> SignInConfig {
        SignInConfig {
            name: name.to_owned(),
            kind: SignInMethod::ApiKey,
            variable: variable.to_owned(),
            file: PathBuf::new(),
            variables: BTreeMap::new(),
            models: Vec::new(),
            keys: Vec::new(),
            projects: Vec::new(),
            max_workers: None,
            weight: 1,
            order: 1,
        }
    }

    fn refusal(list: Vec<SignInConfig>) -> String {
        let config = SignInsConfig {
            header: false,
            plan_header: Vec::new(),
            list,
        };
        config
            .check(4, &[])
            .map_or_else(|refusal| refusal.message, |()| "none".to_owned())
    }

    #[test]
    fn sign_ins_that_cannot_work_are_refused() {
        let eu = || sign_in("eu", "KEY_EU");
        let us = || sign_in("us", "KEY_US");
        assert_eq!(refusal(vec![eu(), us()]), "none");
        assert_eq!(refusal(vec![eu(), eu()]), "`eu`: the name is there twice");
        assert_eq!(
            refusal(vec![eu(), sign_in("EU", "KEY_US")]),
            "`EU`: the name is there twice",
            "they would share a home"
        );
        assert_eq!(
            refusal(vec![eu(), sign_in("us", "KEY_EU")]),
            "`us`: it has the same credentials as `eu`"
        );
        assert_eq!(
            refusal(vec![sign_in("a", ""), sign_in("b", "ANTHROPIC_API_KEY")]),
            "`b`: it has the same credentials as `a`"
        );
        assert_eq!(
            refusal(vec![sign_in("e u", "")]),
            "`e u`: the name is not allowed"
        );
        let with = |change: fn(&mut SignInConfig)| {
            let mut changed = eu();
            change(&mut changed);
            refusal(vec![changed, us()])
        };
        assert_eq!(
            with(|eu| eu.kind = SignInMethod::Auto),
            "`eu`: the kind must be named"
        );
        assert_eq!(
            with(|eu| eu.file = "/key".into()),
            "`eu`: it has a variable and a file"
        );
        assert_eq!(
            with(|eu| eu.kind = SignInMethod::Bedrock),
            "`eu`: its kind has no key or token"
        );
        assert_eq!(
            with(|eu| eu.max_workers = Some(0)),
            "`eu`: it has no workers"
        );
        assert_eq!(
            with(|eu| eu.weight = 0),
            "`eu`: the weight or the order is not allowed"
        );
        assert_eq!(
            with(|eu| eu.variable = "sk-ant-secret".to_owned()),
            "`eu`: a variable has no valid name",
            "a secret is not shown"
        );
        let variables = |name: &str, from: &str| {
            let mut changed = eu();
            changed.variables = [(name.to_owned(), from.to_owned())].into();
            refusal(vec![changed, us()])
        };
        assert_eq!(variables("ANTHROPIC_BASE_URL", "URL_EU"), "none");
        assert_eq!(
            variables("ANTHROPIC_BASE_URL", "https://eu.test"),
            "`eu`: a variable has no valid name"
        );
        assert_eq!(
            variables("AWS_REGION", "REGION_EU"),
            "`eu`: its workers do not get the variable AWS_REGION"
        );
        assert_eq!(
            with(|eu| eu.max_workers = Some(usize::MAX)),
            "the sign-ins need more workers than pool.max_workers, which is 4"
        );
        assert_eq!(
            with(|eu| eu.max_workers = Some(4)),
            "the sign-ins need more workers than pool.max_workers, which is 4"
        );
    }

    #[test]
    fn agents_get_no_sign_in_that_is_bound() {
        let with = |change: fn(&mut SignInConfig)| {
            let mut changed = sign_in("a", "");
            change(&mut changed);
            changed
        };
        let place = |list: &[&SignInConfig]| {
            let config = SignInsConfig {
                header: false,
                plan_header: Vec::new(),
                list: list.iter().copied().cloned().collect(),
            };
            config.place_for_agents()
        };
        let late = with(|one| one.order = 2);
        let of_key = with(|one| one.keys = vec!["key-1".to_owned()]);
        let of_project = with(|one| one.projects = vec!["web".to_owned()]);
        assert_eq!(place(&[&of_key, &late, &of_project]), Some(1));
        assert_eq!(place(&[&late, &with(|_| {})]), Some(1));
        assert_eq!(place(&[&of_key, &of_project]), None);
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn workers_are_shared_by_the_sign_ins() {
        let shares = |numbers: &[Option<usize>], max_workers| {
            let list = numbers.iter().map(|number| SignInConfig {
                max_workers: *number,
                ..sign_in("a", "")
            });
            let config = SignInsConfig {
                header: false,
                plan_header: Vec::new(),
                list: list.collect(),
            };
            config.shares(max_workers)
        };
        assert_eq!(shares(&[None, None, None], 8), [3, 3, 2]);
        assert_eq!(shares(&[None, Some(5), None], 8), [2, 5, 1]);
        assert_eq!(shares(&[Some(1), Some(2)], 8), [1, 2]);
        assert_eq!(shares(&[None, Some(8)], 8), [1, 8], "which is refused");
    }
}
