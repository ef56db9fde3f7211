//! The macros. What they expand to calls `#[doc(hidden)]` items only through `$crate`.

/// Logs a record of a given [`Severity`](crate::Severity).
///
/// ```
/// use wasmscope::{Context, Severity};
///
/// let order = 42;
/// wasmscope::log!(Severity::INFO, "order placed", order, total = 12.5);
/// wasmscope::log!(Severity::new(14), target: "shop", name: "stock.low", "stock is low", "item.id" = "a-7", left = 1);
/// wasmscope::log!(Severity::WARN, parent: Context::NONE, format_args!("{order} orders"));
/// ```
///
/// In this order: options (`target:` instead of the module's path, `name:` the event's name, `parent:` what the record belongs
/// to instead of the current span), the body (`&str`, `String` or `format_args!`), fields. A field is `name = value`, with names that may be
/// dotted or quoted, or just the `name` of a variable. Values are what implements [`ToValue`](crate::ToValue);
/// [`display`](crate::display) and [`debug`](fn@crate::debug) make one of anything else.
///
/// Neither body nor values are evaluated when the host would not keep the record.
#[macro_export]
macro_rules! log {
    ($severity:expr, $($rest:tt)+) => {
        $crate::__log!($severity, [::core::module_path!()] [""] [$crate::Context::CURRENT] $($rest)+)
    };
}

/// [`log!`] of severity TRACE.
#[macro_export]
macro_rules! trace {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::TRACE, $($rest)+) };
}

/// [`log!`] of severity DEBUG.
#[macro_export]
macro_rules! debug {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::DEBUG, $($rest)+) };
}

/// [`log!`] of severity INFO: `info!("order placed", order = 42)`.
#[macro_export]
macro_rules! info {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::INFO, $($rest)+) };
}

/// [`log!`] of severity WARN.
#[macro_export]
macro_rules! warn {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::WARN, $($rest)+) };
}

/// [`log!`] of severity ERROR.
#[macro_export]
macro_rules! error {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::ERROR, $($rest)+) };
}

/// [`log!`] of severity FATAL.
#[macro_export]
macro_rules! fatal {
    ($($rest:tt)+) => { $crate::log!($crate::Severity::FATAL, $($rest)+) };
}

/// Starts a [`Span`](crate::Span).
///
/// ```
/// use wasmscope::{Context, Kind};
///
/// let customer = 7;
/// let span = wasmscope::span!("checkout", customer, "cart.items" = 3);
/// let _entered = span.enter();
/// let request = wasmscope::span!(kind: Kind::Client, parent: Context::NONE, "GET /prices");
/// ```
///
/// In this order: options (`target:` instead of the module's path, `kind:`, `parent:`), the name (a constant), fields as in
/// [`log!`](crate::log!). The span is a child of the current one unless `parent:` says otherwise.
#[macro_export]
macro_rules! span {
    ($($rest:tt)+) => {
        $crate::__span!(
            [::core::module_path!()] [$crate::Kind::Internal] [$crate::Context::CURRENT] $($rest)+
        )
    };
}

/// Whether the host would keep a record of this severity from here: for work that is only needed for a record.
///
/// ```
/// if wasmscope::enabled!(wasmscope::Severity::DEBUG) {
///     // …
/// }
/// ```
#[macro_export]
macro_rules! enabled {
    ($severity:expr $(,)?) => {
        $crate::enabled!($severity, target: ::core::module_path!())
    };
    ($severity:expr, target: $target:expr $(,)?) => {{
        static SITE: $crate::CallSite =
            $crate::CallSite::log($severity, "", $target, ::core::file!(), ::core::line!(), &[]);
        SITE.is_enabled()
    }};
}

/// Attributes for the functions that take a list of them: `span.event("cache.miss", attributes![key = "k"])`.
/// The fields are as in [`log!`](crate::log!).
#[macro_export]
macro_rules! attributes {
    ($($key:tt $(. $part:ident)* $(= $value:expr)?),* $(,)?) => {
        &[$((
            $crate::__key!($key $(. $part)*),
            $crate::ToValue::to_value(&$crate::__value!($key $(. $part)* $(= $value)?)),
        )),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($severity:expr, [$($t:tt)+] [$($n:tt)+] [$($p:tt)+] target: $target:expr, $($rest:tt)+) => {
        $crate::__log!($severity, [$target] [$($n)+] [$($p)+] $($rest)+)
    };
    ($severity:expr, [$($t:tt)+] [$($n:tt)+] [$($p:tt)+] name: $name:expr, $($rest:tt)+) => {
        $crate::__log!($severity, [$($t)+] [$name] [$($p)+] $($rest)+)
    };
    ($severity:expr, [$($t:tt)+] [$($n:tt)+] [$($p:tt)+] parent: $parent:expr, $($rest:tt)+) => {
        $crate::__log!($severity, [$($t)+] [$($n)+] [$parent] $($rest)+)
    };
    (
        $severity:expr, [$($target:tt)+] [$($name:tt)+] [$($parent:tt)+]
        $body:expr $(, $key:tt $(. $part:ident)* $(= $value:expr)?)* $(,)?
    ) => {{
        static SITE: $crate::CallSite = $crate::CallSite::log(
            $severity,
            $($name)+,
            $($target)+,
            ::core::file!(),
            ::core::line!(),
            &[$($crate::__key!($key $(. $part)*)),*],
        );
        if SITE.is_enabled() {
            SITE.emit(
                ::core::convert::Into::<$crate::Context>::into($($parent)+),
                &$body,
                &[$($crate::ToValue::to_value(&$crate::__value!($key $(. $part)* $(= $value)?))),*],
            );
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __span {
    ([$($t:tt)+] [$($k:tt)+] [$($p:tt)+] target: $target:expr, $($rest:tt)+) => {
        $crate::__span!([$target] [$($k)+] [$($p)+] $($rest)+)
    };
    ([$($t:tt)+] [$($k:tt)+] [$($p:tt)+] kind: $kind:expr, $($rest:tt)+) => {
        $crate::__span!([$($t)+] [$kind] [$($p)+] $($rest)+)
    };
    ([$($t:tt)+] [$($k:tt)+] [$($p:tt)+] parent: $parent:expr, $($rest:tt)+) => {
        $crate::__span!([$($t)+] [$($k)+] [$parent] $($rest)+)
    };
    (
        [$($target:tt)+] [$($kind:tt)+] [$($parent:tt)+]
        $name:expr $(, $key:tt $(. $part:ident)* $(= $value:expr)?)* $(,)?
    ) => {{
        static SITE: $crate::CallSite = $crate::CallSite::span(
            $name,
            $($target)+,
            ::core::file!(),
            ::core::line!(),
            &[$($crate::__key!($key $(. $part)*)),*],
        );
        if SITE.is_enabled() {
            SITE.start(
                $($kind)+,
                ::core::convert::Into::<$crate::Context>::into($($parent)+),
                &[$($crate::ToValue::to_value(&$crate::__value!($key $(. $part)* $(= $value)?))),*],
            )
        } else {
            $crate::Span::disabled()
        }
    }};
}

/// The text of a field's name, at compile time.
#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($key:literal) => { $key };
    ($key:ident $(. $part:ident)*) => {
        ::core::concat!(::core::stringify!($key) $(, ".", ::core::stringify!($part))*)
    };
}

/// The value of a field; of a name alone, the variable of that name.
#[doc(hidden)]
#[macro_export]
macro_rules! __value {
    ($key:tt $(. $part:ident)* = $value:expr) => {
        $value
    };
    ($key:ident) => {
        $key
    };
}
