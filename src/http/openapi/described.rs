//! Handlers of a path together with the descriptions of their operations.

use axum::handler::Handler;
use axum::routing::MethodRouter;

use super::operation::Operation;
use crate::http::middleware::authenticate::RequiredAuth;

/// Handlers of a path by method, each with its description.
#[derive(Debug)]
pub(in crate::http) struct DescribedMethods<S> {
    operations: Vec<(&'static str, &'static Operation)>,
    router: MethodRouter<S>,
}

/// Path with its operations, as the document shows it.
#[derive(Debug, Clone)]
pub(in crate::http) struct DescribedRoute {
    /// Path of the route, with its parameters in braces.
    pub(in crate::http) path: &'static str,
    /// Credentials that the route requires.
    pub(in crate::http) need: RequiredAuth,
    /// Operations by method, in lower case.
    pub(in crate::http) operations: Vec<(&'static str, &'static Operation)>,
}

impl<S: Clone> DescribedMethods<S> {
    /// Creates the handlers of a path that the document leaves out.
    pub(in crate::http) fn hidden(router: MethodRouter<S>) -> Self {
        Self {
            operations: Vec::new(),
            router,
        }
    }

    /// Changes the router of the handlers, for example by a layer.
    pub(in crate::http) fn map(
        self,
        change: impl FnOnce(MethodRouter<S>) -> MethodRouter<S>,
    ) -> Self {
        Self {
            router: change(self.router),
            ..self
        }
    }

    /// Returns the router of the handlers.
    pub(in crate::http) fn into_router(self) -> MethodRouter<S> {
        self.router
    }

    /// True if `POST` takes an idempotency key.
    pub(in crate::http) fn takes_idempotency_key(&self) -> bool {
        self.operations
            .iter()
            .any(|(method, operation)| *method == "post" && operation.takes_idempotency_key)
    }

    /// Returns the route of the handlers at `path`.
    pub(in crate::http) fn describe(
        &self,
        path: &'static str,
        need: RequiredAuth,
    ) -> DescribedRoute {
        DescribedRoute {
            path,
            need,
            operations: self.operations.clone(),
        }
    }
}

/// Defines functions that create the handlers of a path from the handler of one method.
macro_rules! creators {
    ($($method:ident)*) => {
        $(
            /// Creates the handlers of a path from the one of this method.
            pub(in crate::http) fn $method<H, T, S>(
                operation: &'static Operation,
                handler: H,
            ) -> DescribedMethods<S>
            where
                H: Handler<T, S>,
                T: 'static,
                S: Clone + Send + Sync + 'static,
            {
                DescribedMethods::hidden(MethodRouter::new()).$method(operation, handler)
            }
        )*
    };
}

/// Defines methods that add the handler of another method.
macro_rules! additions {
    ($($method:ident)*) => {
        impl<S: Clone + Send + Sync + 'static> DescribedMethods<S> {
            $(
                /// Adds the handler of this method.
                pub(in crate::http) fn $method<H, T>(
                    mut self,
                    operation: &'static Operation,
                    handler: H,
                ) -> Self
                where
                    H: Handler<T, S>,
                    T: 'static,
                {
                    self.operations.push((stringify!($method), operation));
                    self.router = self.router.$method(handler);
                    self
                }
            )*
        }
    };
}

creators!(get post put delete);
additions!(get post put patch delete);
