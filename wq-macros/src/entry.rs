//! Turning an `async fn` into one that runs its body on a System.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, LitBool, LitInt, LitStr, Path, Token};

/// Which attribute it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `#[wq::main]`.
    Main,
    /// `#[wq::test]`.
    Test,
}

/// The keys of the attribute.
#[derive(Default)]
struct Keys {
    workers: Option<LitInt>,
    cpus: Option<LitStr>,
    local: Option<LitBool>,
    tokio: Option<LitBool>,
    start_paused: Option<LitBool>,
    path: Option<Path>,
}

impl Parse for Keys {
    fn parse(input: ParseStream<'_>) -> syn::Result<Keys> {
        let mut keys = Keys::default();
        while !input.is_empty() {
            let name = input.call(syn::Ident::parse_any_key)?;
            input.parse::<Token![=]>()?;
            match name.to_string().as_str() {
                "workers" => set(&mut keys.workers, input.parse()?, &name)?,
                "cpus" => set(&mut keys.cpus, input.parse()?, &name)?,
                "local" => set(&mut keys.local, input.parse()?, &name)?,
                "tokio" => set(&mut keys.tokio, input.parse()?, &name)?,
                "start_paused" => set(&mut keys.start_paused, input.parse()?, &name)?,
                "crate" => {
                    let text: LitStr = input.parse()?;
                    set(&mut keys.path, text.parse()?, &name)?;
                }
                other => {
                    let message = format!(
                        "unknown key `{other}`; allowed are `workers`, `cpus`, `local`, `tokio`, \
                         `start_paused`, `crate`"
                    );
                    return Err(Error::new(name.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(keys)
    }
}

/// An identifier, keywords (`crate`) included.
trait ParseKey: Sized {
    /// Parses it.
    fn parse_any_key(input: ParseStream<'_>) -> syn::Result<Self>;
}

impl ParseKey for syn::Ident {
    fn parse_any_key(input: ParseStream<'_>) -> syn::Result<syn::Ident> {
        use syn::ext::IdentExt;
        input.call(syn::Ident::parse_any)
    }
}

/// Sets a key once.
fn set<T>(slot: &mut Option<T>, value: T, name: &syn::Ident) -> syn::Result<()> {
    if slot.is_some() {
        return Err(Error::new(
            name.span(),
            format!("the key `{name}` is given twice"),
        ));
    }
    *slot = Some(value);
    Ok(())
}

/// Expands the attribute; errors become compile errors at the right place.
pub(crate) fn expand(args: TokenStream, item: TokenStream, kind: Kind) -> TokenStream {
    match try_expand(args, item.clone(), kind) {
        Ok(expanded) => expanded,
        Err(error) => complain(&error, item),
    }
}

/// The compile error, and the function kept inside another so that it is the only one: without it
/// the compiler would go on to say that `main` must not be `async`, and that there is no `main`.
fn complain(error: &Error, item: TokenStream) -> TokenStream {
    let error = error.to_compile_error();
    match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => {
            let (vis, name) = (&function.vis, &function.sig.ident);
            quote! {
                #error
                #[allow(dead_code, reason = "there is an error to be mended first")]
                #vis fn #name() { #function }
            }
        }
        Err(_) => quote!(#error #item),
    }
}

/// Expands the attribute. The user's function stays as it is, inside one of the same name, so that
/// its `?`, its `return` and the compiler's complaints mean what they say. The names of what stands
/// beside it begin with `__wq_`, so that it may have any other.
fn try_expand(args: TokenStream, item: TokenStream, kind: Kind) -> syn::Result<TokenStream> {
    let keys: Keys = syn::parse2(args)?;
    let function: ItemFn = syn::parse2(item)?;
    check(&function, kind)?;
    check_keys(&keys, kind)?;
    let path = keys.path.unwrap_or_else(|| syn::parse_quote!(::wq));
    let workers = keys.workers.map(|n| quote!(.workers(#n)));
    let cpus = keys.cpus.map(|list| quote!(.cpus(#list)));
    let local = keys.local.is_some_and(|local| local.value);
    let paused = keys
        .start_paused
        .map(|paused| quote!(.paused_clock(#paused)));
    let builder = quote!(#path::System::builder() #workers #cpus #paused);
    let tokio = keys.tokio.is_some_and(|tokio| tokio.value);
    let Context {
        make,
        builder,
        leave,
    } = Context::of(tokio, local, &path, builder);
    let (output, run) = root(&function, local.then_some(&path), &leave);
    let install = (kind == Kind::Main).then(|| {
        quote! {
            if let Err(error) = __wq_system.install_default() {
                panic!("#[wq::main]: {error}");
            }
        }
    });
    let (vis, name, block) = (&function.vis, &function.sig.ident, &function.block);
    let (attrs, inner_output) = (&function.attrs, &function.sig.output);
    let test = (kind == Kind::Test).then(|| quote!(#[::core::prelude::v1::test]));
    Ok(quote_spanned! { function.sig.span() =>
        #test
        #(#attrs)*
        #vis fn #name() #output {
            async fn #name() #inner_output #block
            #make
            let __wq_system = match #builder .build() {
                Ok(__wq_system) => __wq_system,
                Err(error) => panic!("the System cannot be made: {error}"),
            };
            #install
            #run
        }
    })
}

/// What a tokio context adds; without one, nothing.
struct Context {
    /// Makes it, before the System.
    make: TokenStream,
    /// The builder of the System that has it.
    builder: TokenStream,
    /// Lets it go when the body has ended, so that the shutdown can end it.
    leave: TokenStream,
}

impl Context {
    /// Around a builder. A local body is polled by the calling thread, which enters it, too.
    fn of(wanted: bool, local: bool, path: &Path, builder: TokenStream) -> Context {
        let (mut make, mut leave) = (quote!(), quote!());
        if !wanted {
            return Context {
                make,
                builder,
                leave,
            };
        }
        make = quote! {
            let __wq_tokio = match #path::tokio::Driver::new() {
                Ok(__wq_tokio) => __wq_tokio,
                Err(error) => panic!("there is no tokio context: {error}"),
            };
        };
        leave = quote!(::core::mem::drop(__wq_tokio););
        if local {
            make = quote!(#make let __wq_entered = __wq_tokio.enter(););
            leave = quote!(::core::mem::drop(__wq_entered); #leave);
        }
        let builder = quote!(__wq_tokio.attach(#builder));
        Context {
            make,
            builder,
            leave,
        }
    }
}

/// How the root runs: what the outer function returns, and the end of its body.
///
/// A result crosses from the worker to the caller as an exit code, as `main` would report it, so
/// that it need not be `Send`: `Box<dyn Error>` is not.
///
/// A local root, for which `local` is the path of the crate, runs in a set of its own.
fn root(
    function: &ItemFn,
    local: Option<&Path>,
    leave: &TokenStream,
) -> (TokenStream, TokenStream) {
    let name = &function.sig.ident;
    let shutdown =
        quote!(#leave let _report = __wq_system.shutdown(::core::time::Duration::from_secs(1)););
    let run = match local {
        Some(path) => quote! {
            __wq_system.block_on(async {
                let set = #path::LocalSet::new();
                set.run_until(#name()).await
            })
        },
        None => quote!(__wq_system.run(#name())),
    };
    match &function.sig.output {
        syn::ReturnType::Default => (quote!(), quote!(#run; #shutdown)),
        output if local.is_some() => {
            let end = quote!(let __wq_output = #run; #shutdown __wq_output);
            (quote!(#output), end)
        }
        output => {
            let report = quote_spanned! { output.span() =>
                async { ::std::process::Termination::report(#name().await) }
            };
            let end = quote!(let __wq_output = __wq_system.run(#report); #shutdown __wq_output);
            (quote!(-> ::std::process::ExitCode), end)
        }
    }
}

/// Complains of functions that cannot be an entry.
fn check(function: &ItemFn, kind: Kind) -> syn::Result<()> {
    let name = if kind == Kind::Main {
        "#[wq::main]"
    } else {
        "#[wq::test]"
    };
    if function.sig.asyncness.is_none() {
        let message = format!("{name} wants an `async fn`");
        return Err(Error::new(function.sig.fn_token.span(), message));
    }
    if !function.sig.inputs.is_empty() {
        let message = format!("{name} wants a function without arguments");
        return Err(Error::new(function.sig.inputs.span(), message));
    }
    if !function.sig.generics.params.is_empty() {
        let message = format!("{name} wants a function without type parameters");
        return Err(Error::new(function.sig.generics.span(), message));
    }
    if kind == Kind::Main && function.sig.ident != "main" {
        let message = "#[wq::main] belongs to `main`; for other functions use `wq::run`";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    Ok(())
}

/// Complains of keys that this attribute does not have.
fn check_keys(keys: &Keys, kind: Kind) -> syn::Result<()> {
    let Some(paused) = keys.start_paused.as_ref().filter(|_| kind == Kind::Main) else {
        return Ok(());
    };
    let message = "`start_paused` belongs to #[wq::test]: a program's clock runs";
    Err(Error::new(paused.span(), message))
}

#[cfg(test)]
mod tests;
