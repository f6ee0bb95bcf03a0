//! How a domain type becomes what is on disk, and back: each has a wire type, which never changes once a version is out.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The form of a `T` on disk.
pub(crate) trait Wire<T>: Serialize + DeserializeOwned {
    /// The form of this value.
    fn of(value: &T) -> Self;

    /// The value that has this form.
    fn into_value(self) -> T;
}

/// Types that are their own form.
macro_rules! plain {
    ($($plain:ty),* $(,)?) => { $(
        impl Wire<$plain> for $plain {
            fn of(value: &$plain) -> Self {
                value.clone()
            }

            fn into_value(self) -> $plain {
                self
            }
        }
    )* };
}

plain!(bool, u8, u16, u32, u64, i64, String, Duration, Arc<[u8]>);

impl<T, W: Wire<T>> Wire<Option<T>> for Option<W> {
    fn of(value: &Option<T>) -> Self {
        value.as_ref().map(W::of)
    }

    fn into_value(self) -> Option<T> {
        self.map(W::into_value)
    }
}

impl<T, W: Wire<T>> Wire<Vec<T>> for Vec<W> {
    fn of(value: &Vec<T>) -> Self {
        value.iter().map(W::of).collect()
    }

    fn into_value(self) -> Vec<T> {
        self.into_iter().map(W::into_value).collect()
    }
}

impl<T, W: Wire<T>> Wire<Box<T>> for Box<W> {
    fn of(value: &Box<T>) -> Self {
        Self::new(W::of(value))
    }

    fn into_value(self) -> Box<T> {
        Box::new((*self).into_value())
    }
}

impl<T, W: Wire<T>, const N: usize> Wire<[T; N]> for [W; N]
where
    Self: Serialize + DeserializeOwned,
{
    fn of(value: &[T; N]) -> Self {
        value.each_ref().map(W::of)
    }

    fn into_value(self) -> [T; N] {
        self.map(W::into_value)
    }
}

impl<T, U, V: Wire<T>, W: Wire<U>> Wire<(T, U)> for (V, W) {
    fn of((one, other): &(T, U)) -> Self {
        (V::of(one), W::of(other))
    }

    fn into_value(self) -> (T, U) {
        (self.0.into_value(), self.1.into_value())
    }
}

/// A wire type with the same fields as a struct, in the order on disk. A field that the struct gains does not compile here: the
/// type is frozen then, with a conversion of its own, and the next version gets the field.
macro_rules! wire_struct {
    ($wire:ident of $domain:ident { $($field:ident: $form:ty),* $(,)? }) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct $wire {
            $(pub(crate) $field: $form),*
        }

        impl $crate::records::wire::Wire<$domain> for $wire {
            fn of(value: &$domain) -> Self {
                let $domain { $($field),* } = value;
                Self { $($field: <$form as $crate::records::wire::Wire<_>>::of($field)),* }
            }

            fn into_value(self) -> $domain {
                let Self { $($field),* } = self;
                $domain { $($field: $field.into_value()),* }
            }
        }
    };
}

/// A wire type with the same variants as an enum, in the order on disk. Later versions may add variants, at the end.
macro_rules! wire_enum {
    ($wire:ident of $domain:ident { $($variant:ident $({ $($field:ident: $form:ty),* $(,)? })? $(($inner:ident: $inner_form:ty))?),* $(,)? }) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) enum $wire {
            $($variant $({ $($field: $form),* })? $(($inner_form))?),*
        }

        impl $crate::records::wire::Wire<$domain> for $wire {
            fn of(value: &$domain) -> Self {
                match value {
                    $($domain::$variant $({ $($field),* })? $(($inner))? => Self::$variant
                        $({ $($field: <$form as $crate::records::wire::Wire<_>>::of($field)),* })?
                        $((<$inner_form as $crate::records::wire::Wire<_>>::of($inner)))?,)*
                }
            }

            fn into_value(self) -> $domain {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => $domain::$variant
                        $({ $($field: $field.into_value()),* })?
                        $(($inner.into_value()))?,)*
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};
